"""How much each channel matters: criteria that rank the channels of a group, the least important first."""
