"""Training a network to answer as another does, from data without labels."""
