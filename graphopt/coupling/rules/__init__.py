"""How the axes of each operator's operands relate, a family a file."""
