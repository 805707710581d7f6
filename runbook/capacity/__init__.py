"""From load steps to a capacity curve: the experiment, the fit and what they hand on."""
