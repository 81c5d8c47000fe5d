"""What runs on the robot."""
