"""Where things are: scenes as extruded floor plans, and what can be walked and seen in them."""
