"""The compiled program: loading, running and measuring it, without the compiler."""
