"""What the tests from outside share: programs, processes, clients, gateways."""
