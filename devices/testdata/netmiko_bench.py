# The same job as BenchmarkOpen, by netmiko: login, enable, paging off, one show, logout.
# Reads JSON {host, port, user, password, enable, count} and prints the seconds of each job.
import json, sys, time
from netmiko import ConnectHandler

job = json.load(sys.stdin)
for _ in range(job["count"]):
    began = time.monotonic()
    c = ConnectHandler(device_type="cisco_asa", host=job["host"], port=job["port"], username=job["user"],
                       password=job["password"], secret=job["enable"])
    c.enable()
    c.send_command("show crypto isakmp sa detail")
    c.disconnect()
    print(time.monotonic() - began, flush=True)
