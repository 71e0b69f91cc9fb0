"""The schema as code: TFX's ImportSchemaGen, but cached by the schema's text."""
