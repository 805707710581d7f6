"""The policy lab: what a scaling policy would have done with real traffic.

An arrival-rate history is played through a service with the measured capacity curve, its metrics,
alarms and scaling policies, a tick of 20 s at a time, beside an oracle that knows the future.

Modules, bottom up:

- ``layout``, ``jit``   the flat arrays of the compiled loop, and how it is compiled
- ``prices``            what a task-hour and 20 s metrics cost
- ``service``           the service: c_SLO(n), CPU per request, how long things take
- ``stamps``, ``rows``, ``grid``, ``history``   traffic: read, mended, scaled, redrawn
- ``recorded``, ``source``   traffic from CloudWatch; from wherever it is
- ``times``, ``names``  how long things take and how that is known; names of files
- ``policy``, ``builtin``, ``policy_numbers``, ``additions``, ``policy_file``   what decides the
  desired count
- ``launched``          what stands below ``policy_lab``, as resources of the scaling stack
- ``floors``            bounds over time: scheduled actions, the forecast
- ``kernel_rules``, ``kernel_alarms``, ``kernel_service``, ``kernel``, ``compiled``   the compiled
  loop and its arguments
- ``outcome``           task-hours, violations, elasticity, intervals
- ``unknowns``          what AWS does not document, swept
- ``replay``            policies over histories
- ``fleet``             many histories, on Dask
- ``words``             policies in plain words
- ``search``, ``tune``, ``proposal``   the search for the cheapest policy within the budget
- ``study``             a tuning with its tables, for the notebook
"""
