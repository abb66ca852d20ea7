"""The optimizer rule behind transparent push-down: its Java source, its installer and its planner."""
