"""What values the tensors of a model take on somebody's data: data in, one pass, fixed memory."""
