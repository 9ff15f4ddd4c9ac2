"""Plans that still cross the threshold when users drop out (FORMULATION section 12)."""
