"""Resolver strategies: which earlier artifacts a run takes up."""
