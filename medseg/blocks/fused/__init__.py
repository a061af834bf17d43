"""Compiled loops for the processor: what torch would do in several passes over memory, in one."""
