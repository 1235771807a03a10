"""Deliberately weakened rules: each abuse case is worth something only if its tests fail where its rule is broken."""
