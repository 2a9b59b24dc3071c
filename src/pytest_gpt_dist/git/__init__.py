"""Calls of git: revisions and worktrees."""
