"""What communication costs: collectives of torch.distributed, checked, timed, in the terms of nccl-tests."""
