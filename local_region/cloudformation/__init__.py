"""CloudFormation types the emulator lacks or gets wrong, over the endpoint's own service APIs."""
