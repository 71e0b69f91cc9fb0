"""The gate behind ExampleValidator: anomalies stop the run."""
