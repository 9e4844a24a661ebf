"""Audits: is a prediction what it seems to be?"""
