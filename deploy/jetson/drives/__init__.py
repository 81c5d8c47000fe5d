"""Drives, one file each; only the guardian opens one."""
