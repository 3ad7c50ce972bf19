"""plait: an array framework for machine learning on Linux."""
