"""The load balancer: Envoy, configured from the ELB API's records, with real health checks."""

from local_region.balancer.balancer import Balancer, start

__all__ = ["Balancer", "start"]
