"""What differs between two models, matched by structure: fingerprints, matching, the record of differences."""
