"""What a node says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from r1ray.cluster.probe import Gpus, disk_of, found_gpus, is_hub_name, parse_smi, path_facts, source_digest

SMI = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>570.86.15</driver_version>
  <cuda_version>12.8</cuda_version>
  <attached_gpus>2</attached_gpus>
  <gpu id="00000000:1B:00.0">
    <product_name>NVIDIA H100 80GB HBM3</product_name>
    <fb_memory_usage><total>81559 MiB</total><reserved>551 MiB</reserved><used>4 MiB</used></fb_memory_usage>
    <ecc_errors>
      <volatile>
        <sram_correctable>7</sram_correctable>
        <sram_uncorrectable_parity>0</sram_uncorrectable_parity>
        <sram_uncorrectable_secded>1</sram_uncorrectable_secded>
        <dram_uncorrectable>2</dram_uncorrectable>
      </volatile>
      <aggregate><dram_uncorrectable>9</dram_uncorrectable></aggregate>
    </ecc_errors>
    <remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>
    <clocks_event_reasons>
      <clocks_event_reason_gpu_idle>Not Active</clocks_event_reason_gpu_idle>
      <clocks_event_reason_sw_power_cap>Active</clocks_event_reason_sw_power_cap>
      <clocks_event_reason_hw_thermal_slowdown>Active</clocks_event_reason_hw_thermal_slowdown>
    </clocks_event_reasons>
  </gpu>
  <gpu id="00000000:1C:00.0">
    <product_name>NVIDIA GeForce RTX 4090</product_name>
    <fb_memory_usage><total>24564 MiB</total><used>N/A</used></fb_memory_usage>
    <ecc_errors><volatile><dram_uncorrectable>N/A</dram_uncorrectable></volatile></ecc_errors>
    <clocks_throttle_reasons>
      <clocks_throttle_reason_sw_thermal_slowdown>Active</clocks_throttle_reason_sw_thermal_slowdown>
    </clocks_throttle_reasons>
  </gpu>
</nvidia_smi_log>
"""


def test_gpus_are_read_from_nvidia_smi_whatever_a_driver_leaves_out() -> None:
    found = parse_smi(SMI)
    assert (found.driver, found.cuda, found.problem) == ("570.86.15", "12.8", None)
    first, second = found.gpus
    assert (first.name, first.memory_mib, first.used_mib) == ("NVIDIA H100 80GB HBM3", 81559, 4)
    assert (first.uncorrected_errors, first.needs_reset, first.slowed_by) == (3, True, ("hw_thermal_slowdown",))
    assert (second.uncorrected_errors, second.needs_reset, second.used_mib) == (None, False, 0)
    assert second.slowed_by == ("sw_thermal_slowdown",)


def test_a_driver_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not talk to the driver.'; exit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert found_gpus() == Gpus(
        problem="nvidia-smi fails: NVIDIA-SMI has failed because it could not talk to the driver."
    )


def test_two_copies_of_a_folder_have_the_same_listing_until_one_changes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert path_facts(str(tmp_path / "a")).listing == path_facts(str(tmp_path / "b")).listing
    (tmp_path / "b" / "config.json").write_text("{ }")
    assert path_facts(str(tmp_path / "a")).listing != path_facts(str(tmp_path / "b")).listing
    assert not path_facts(str(tmp_path / "c")).exists


def test_a_disk_is_found_for_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    assert disk_of(str(tmp_path / "not" / "yet")).total_bytes == disk_of(str(tmp_path)).total_bytes


def test_hub_names() -> None:
    names = ["Qwen/Qwen2.5-7B", "/models/qwen", "./a/b", "model", "@stage/model"]
    assert [is_hub_name(name) for name in names] == [True, False, False, False, False]


def test_the_digest_of_the_source_stays_the_same() -> None:
    assert source_digest() == source_digest()
