"""What this project uses of scikit-learn, which ships no types."""
