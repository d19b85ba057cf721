"""Stages that turn sound into words, words into other words, and those into sound again."""
