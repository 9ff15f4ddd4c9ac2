"""Plans that can be carried out (FORMULATION section 11): whole units, least amounts, groups."""
