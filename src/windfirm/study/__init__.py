"""Whole experiments, put together from the rooms before this one."""
