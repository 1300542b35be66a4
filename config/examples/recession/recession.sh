#!/bin/sh
# Discharge of catchments after rain, by the nonlinear reservoir q(t) = q0 / (1 + a t)^2.
#
#   sh recession.sh INPUT OUTPUT
#
# INPUT is a CSV file: a line of names, then q0 (m3/s) and a (1/day) of a catchment in each line.
# OUTPUT gets the discharge on days 1 to 12 in each line.
sed 1d "$1" | while IFS=, read -r q0 a; do
  sleep 0.3 # stands for a slow solver
  awk -v q0="$q0" -v a="$a" 'BEGIN {
    for (t = 1; t <= 12; t++) printf "%s%.8g", (t > 1 ? "," : ""), q0 / (1 + a * t) ^ 2
    printf "\n"
  }'
done > "$2"
