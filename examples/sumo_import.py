"""Traffic from SUMO: import floating car data, and let a twin watch it.

SUMO writes such a file with `sumo --fcd-output town.fcd.xml`; here the script writes a small one itself: five cars on
two roads, of which one arrives late and one leaves early. The run lasts as long as the trace.

    python sumo_import.py
    twin import fcd town.fcd.xml --out town.parquet     # the same import on the command line
"""

from pathlib import Path

from traces.exogenous import import_file
from vectwin import Scenario, run

PRESENT_S = {"car-0": (0, 20), "car-1": (0, 20), "car-2": (0, 20), "late": (8, 20), "gone": (0, 12)}
lines = []
for second in range(20):
    lines.append(f'  <timestep time="{second}.00">')
    for road, (name, (begin_s, end_s)) in enumerate(PRESENT_S.items()):
        if begin_s <= second < end_s:
            place = f'x="{12.0 * second + 30 * road:.2f}" y="{100.0 * (road % 2):.2f}"'
            lines.append(f'    <vehicle id="{name}" {place} angle="90.00" speed="12.00" type="passenger"/>')
    lines.append("  </timestep>")
Path("town.fcd.xml").write_text("\n".join(["<fcd-export>", *lines, "</fcd-export>"]), "utf-8")

trace = import_file("fcd", Path("town.fcd.xml"), Path("town.parquet"))
print("imported:", trace.summary()["num_entity"], "vehicles,", trace.num_row, "rows")

Path("town.toml").write_text(
    """
title = "Five cars, a base station between two roads"
time = { slot_duration_s = "500 ms" }
vehicles = { cpu_hz = "2 GHz", kappa = 1e-27, transmit_power_w = "200 mW" }
mobility = { kind = "trace", file = "town.parquet" }
base_station = { position_m = [150, 50] }
radio = { bandwidth_hz = "10 MHz" }
server = { frequency_hz = "30 GHz", num_core = 10, kappa = 1.85e-28 }
objective = { energy_weight = 0.02, deadline_price = 1 }

[[tasks]]
name = "perception"
size_bytes = ["10 kB", "30 kB"]
cycles_per_byte = 20000
deadline_s = "300 ms"
""",
    "utf-8",
)
result = run(Scenario.load("town.toml"), policy="p2-exact", seed=1)
names = result.table("entities")["vehicle_id"].to_pylist()
present = result.table("vehicles")["vehicle"].to_pylist()
for number, name in enumerate(names):
    print(f"{name}: {present.count(number)} slots of {result.summary['slots']}")
print(f"deadlines missed: {result.summary['deadline_miss_ratio']:.2f}")
