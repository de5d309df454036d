# The tables that run.sh prints, and their comparison with recorded ones. run.sh reads this file.

print_table() { # medians, and the ratios to the two others
  echo "| what | measure | nginx | HAProxy | LoadBalancer | to nginx | to HAProxy |"
  echo "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
  sort -t $'\t' -k1,3 -k4,4n -s "$results" | awk -F'\t' '
    function show(v) { return v == "" ? "" : sprintf(v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v) }
    function ratio(a, b) { return a == "" || b == "" || b == 0 ? "" : sprintf("%.2f", a / b) }
    function median(key) { return n[key] ? (values[key, int((n[key] + 1) / 2)] + values[key, int(n[key] / 2) + 1]) / 2 : "" }
    BEGIN {
      multiples["+log"] = "the log on"; multiples["+routes"] = "the route"
      multiples["+logins"] = "the wrong passwords"; multiples["+traces"] = "the traces"
    }
    FILENAME == "-" { sub(/[+]gzip/, "", $2); key = $1 FS $3 FS $2; values[key, ++n[key]] = $4; next }
    {
      row = $1 FS $3
      if (row in seen || $1 == "policies") next
      seen[row] = 1
      nginx = median(row FS "nginx"); haproxy = median(row FS "haproxy"); ours = median(row FS "ours")
      printf "| %s | %s | %s | %s | %s |", $1, $3, show(nginx), show(haproxy), show(ours)
      printf " %s | %s |\n", ratio(ours, nginx), ratio(ours, haproxy)
      for (suffix in multiples) {
        more = median(row FS "ours" suffix); theirs = median(row FS "nginx" suffix)
        if (more == "") continue
        printf "| … with %s, as a multiple of without | %s |", multiples[suffix], $3
        printf " %s | | %s | | |\n", ratio(theirs, nginx), ratio(more, ours)
      }
    }' - "$results"
}

compare() { # RECORDED TABLE: the rows that both have, by their ratios to nginx
  awk -F' *[|] *' '
    function isRow() { return NF == 9 && $7 ~ /^[0-9.]+$/ }
    FNR == NR { if (isRow()) before[$2 FS $3] = $7; next }
    !isRow() || !(($2 FS $3) in before) { next }
    {
      compared++
      was = before[$2 FS $3]
      if ($3 ~ "/s$" ? $7 < was * 0.95 : $7 > was * 1.05) { worse++; printf "worse: %s, %s: %s to nginx, before %s\n", $2, $3, $7, was }
    }
    END {
      if (!compared) print "none of these rows is recorded"
      else printf "%d rows compared, %d more than 5 %% worse\n", compared, worse
      exit worse > 0 || !compared
    }' "$1" "$2"
}

print_policies() { # medians, and the ratios to RoundRobin
  local measure
  echo
  echo "| policy | requests/s | CPU µs/request | requests/s to RoundRobin | CPU to RoundRobin |"
  echo "| --- | ---: | ---: | ---: | ---: |"
  grep '^policies' "$results" | sort -t $'\t' -k2,3 -k4,4n -s | awk -F'\t' -v order="${policies[*]}" '
    { key = $2 FS $3; values[key, ++n[key]] = $4 }
    function median(key) { return (values[key, int((n[key] + 1) / 2)] + values[key, int(n[key] / 2) + 1]) / 2 }
    END {
      count = split(order, names, " ")
      for (i = 1; i <= count; i++) {
        rate = median("policy+" names[i] FS "requests/s"); cpu = median("policy+" names[i] FS "CPU µs/request")
        if (i == 1) { rate1 = rate; cpu1 = cpu }
        printf "| %s | %.0f | %.1f | %.2f | %.2f |\n", names[i], rate, cpu, rate / rate1, cpu / cpu1
      }
    }'
}
