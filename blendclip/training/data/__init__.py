"""What a run draws from: packed splits, the mixture of domains, the plan of batches."""
