"""What a killed process leaves: every verb at every moment of its ledger, then delete and prune; the stores as before."""
