"""Whether a model treats the samples of a batch apart, proved operator by operator."""
