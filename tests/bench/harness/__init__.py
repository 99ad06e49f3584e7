"""What the benchmarks and the soak share: processes, homes, raw clients, kernels and servers."""
