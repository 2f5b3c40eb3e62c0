"""The texts that all inputs begin with: one scenario with every part, and tables to import."""

from __future__ import annotations

EVERYTHING = """\
title = "Every part of a scenario, in two slots"

[time]
slot_duration_s = "100 ms"
num_slot = 2

[model]
mode = "corrected"
order = "sequential"
handover = "finish"

[vehicles]
cpu_hz = ["1 GHz", "3 GHz"]
kappa = 1e-27
transmit_power_w = "200 mW"
report_interval = 2

[vehicles.gpu]
num_core = 100
flop_per_cycle = 16
utilisation = 0.5

[mobility]
kind = "trace"
file = "mobility.parquet"
begin_s = 0.5

[radio]
bandwidth_hz = "10 MHz"
noise_density_dbm_hz = -174
carrier_hz = "5.9 GHz"
association = "best-channel"
hysteresis_db = 3
rate_file = "link.parquet"

[base_station]
position_m = [0, 40]

[server]
frequency_hz = "60 GHz"
kappa = 1.85e-28

[server.gpu]
num_core = 6912
flop_per_cycle = 32
utilisation = 0.45

[[rsus]]
name = "rsu"
position_m = [100, 12]

[[tasks]]
name = "bytes"
size_bytes = ["10 kB", "30 kB"]
cycles_per_byte = 2000
deadline_s = "50 ms"

[[tasks]]
name = "prompt"
deadline_s = "2 s"

[tasks.transformer]
num_layer = 2
hidden_size = 64
batch_size = 1
bits_per_activation = 16

[tasks.requests]
file = "requests.parquet"
speed = 2

[bursts]
event_begin = 0.1
event_end = 0.3
burst_begin = 0.1
burst_begin_in_event = 0.5
burst_end = 0.3
size_factor = 2

[network.access]
latency_s = { kind = "uniform", low_s = "1 ms", high_s = "2 ms" }
jitter_s = "1 ms"
loss = 0.1

[network.backhaul]
latency_s = "3 ms"

[twin]
estimator = "predict"
sync_window_s = "10 ms"

[twin.bias.cpu_frequency_hz]
kind = "random-walk"
step_std = "10 MHz"

[twin.bias.position_m]
kind = "timed"
points = [[0, 1], ["150 ms", -2]]

[twin.decision]
latency = { kind = "exponential", mean_s = "2 ms" }
deadline_s = "20 ms"

[twin.command]
missing = "local"

[objective]
qos_weight = 1
energy_weight = 0.02
deadline_price = 1
beta = 0.1

[[timeline]]
kind = "node-down"
at_s = "130 ms"
node = "rsu"

[[timeline]]
kind = "link"
at_s = "0.1 s"
link = "backhaul"
loss = 0.3

[[timeline]]
kind = "burst"
at_s = "50 ms"
duration_s = "20 ms"
every_s = "100 ms"
size_factor = 2.5
task = "bytes"

[[timeline]]
kind = "policy"
at_s = "100 ms"
name = "edge-equal"

[policy]
name = "greedy-cost"

[trace]
messages = true
"""

FCD_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<fcd-export>
    <timestep time="0.00">
        <vehicle id="a.0" x="10.0" y="-3.2" angle="90.00" type="car" speed="8.00" pos="5.10" lane="e_0" slope="0.00"/>
        <vehicle id="b.0" x="60.0" y="3.2" angle="270.00" type="bus" speed="9.00" pos="4.10" lane="e_1" slope="0.00"/>
    </timestep>
    <timestep time="1.00">
        <vehicle id="a.0" x="18.0" y="-3.2" angle="90.00" type="car" speed="8.00" pos="13.10" lane="e_0" slope="0.00"/>
        <vehicle id="b.0" x="51.0" y="3.2" angle="270.00" type="bus" speed="9.00" pos="13.10" lane="e_1" slope="0.00"/>
    </timestep>
    <timestep time="2.00">
        <vehicle id="a.0" x="26.0" y="-3.2" angle="90.00" type="car" speed="8.00" pos="21.10" lane="e_0" slope="0.00"/>
    </timestep>
</fcd-export>
"""

FCD_CSV = """\
timestep_time,vehicle_id,vehicle_x,vehicle_y,vehicle_angle,vehicle_type,vehicle_speed
0.00,a,10.0,-3.2,90,car,8
0.00,b,60.0,3.2,270,bus,9
1.00,a,18.0,-3.2,90,car,8
1.00,b,51.0,3.2,270,bus,9
2.00,a,26.0,-3.2,90,car,8
"""

GPS_CSV = """\
when,taxi,lng,lat
2024-05-10 08:00:00,t1,11.3400,44.4900
2024-05-10 08:00:01,t1,11.3401,44.4900
2024-05-10 08:00:00,t2,11.3420,44.4910
2024-05-10 08:00:02,t1,11.3402,44.4901
2024-05-10 08:00:02,t2,11.3421,44.4912
"""
GPS_MAP = ("t_ns=when", "entity_id=taxi", "lon_deg=lng", "lat_deg=lat")

REQUESTS_CSV = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0319600,110,0
2023-11-16 18:17:04.5000000,77,3
"""

LINK_CSV = """\
Timestamp,UL_bitrate,DL_bitrate
2019.12.16_13.40.04,1500,27000
2019.12.16_13.40.05,0,31000
2019.12.16_13.40.06,800,12000
"""
LINK_MAP = ("t_ns=Timestamp", "uplink_rate_bps=UL_bitrate:kbit/s", "downlink_rate_bps=DL_bitrate:kbit/s")
