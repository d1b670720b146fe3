"""How long an artifact takes on a CPU: one process each, in interleaved rounds."""
