"""How long an artifact takes on a CPU: one process each, rounds interleaved."""
