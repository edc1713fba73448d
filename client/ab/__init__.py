"""A/B testing: variants side by side, traffic, weights, and whether one of two models is better."""
