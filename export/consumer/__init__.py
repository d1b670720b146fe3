"""What an app developer runs on a pulled folder. The standard library is enough."""
