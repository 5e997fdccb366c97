"""What the test command leaves out unless KFOLD_TEST_THOROUGH=1.

Each line says once more, for the second builder, at other moments, with another command line or of another client, what a
test beside it says.
"""

from __future__ import annotations

import os

import pytest

_VARIABLE = "KFOLD_TEST_THOROUGH"

_AGAIN = (
    # the legacy builder, where a test of the same name has BuildKit
    "tests/images/test_build.py::test_a_failed_build_keeps_what_was_there[legacy]",
    "tests/images/test_build.py::test_a_failed_build_leaves_no_record_and_no_image[legacy]",
    "tests/images/test_build.py::test_a_required_image_comes_first_and_its_reference_is_handed_on[legacy]",
    "tests/images/test_build.py::test_a_signal_stops_a_build_and_leaves_nothing[legacy-1]",
    "tests/images/test_build.py::test_a_signal_stops_a_build_and_leaves_nothing[legacy-2]",
    "tests/images/test_crash.py::test_killed_leaves_no_folder_outside_of_the_project[legacy]",
    "tests/images/test_crash.py::test_killed_when_the_legacy_builder_is_ahead_of_what_was_heard",
    "tests/images/test_edit_while_building.py::test_an_edit_and_then_a_kill[legacy]",
    "tests/images/test_edit_while_building.py::test_an_edit_while_it_is_built_and_back_again_later[legacy]",
    "tests/images/test_up_to_date.py::test_a_fresh_clone_finds_the_image_and_never_takes_it_away[legacy]",
    "tests/images/test_up_to_date.py::test_a_second_build_is_a_no_op[legacy]",
    "tests/images/test_up_to_date.py::test_kfolds_own_folder_is_in_no_image_and_no_key[legacy]",
    "tests/stores/engine/test_contract.py::*[real-legacy*",
    "tests/images/test_build.py::test_a_signal_stops_a_build_and_leaves_nothing[legacy-15]",
    "tests/images/test_crash.py::test_killed_in_the_middle_of_a_step_of_the_builder[legacy]",
    "tests/registry/test_platforms.py::test_the_legacy_builder_says_what_it_cannot",
    # other moments of a kill
    "tests/cleanup/test_crash.py::test_killed_at_the_moments_of_the_ledger[deploy]",
    "tests/crash/test_engine_restarts.py::test_killed_at_the_moments_of_the_ledger*",
    "tests/crash/test_engine_restarts.py::test_pods_of_dev_come_back_with_the_engine*",
    "tests/crash/test_engine_restarts.py::test_stopped_while_it_builds[b*",
    "tests/crash/test_engine_restarts.py::test_stopped_while_it_builds[legacy-back*",
    "tests/crash/test_engine_restarts.py::test_stopped_while_it_builds[legacy-away-SIGTERM]",
    "tests/crash/test_random_real.py::*",
    "tests/crash/test_server_restarts.py::test_killed_at_the_moments_of_the_ledger*",
    "tests/registry/test_restarts.py::test_killed_at_the_moments_of_the_ledger*",
    "tests/crash/test_two_checkouts.py::test_taken_back_at_the_same_time[4]",
    "tests/crash/test_two_checkouts.py::test_taken_back_one_after_the_other[*the finder first",
    "tests/crash/test_two_projects.py::test_two_projects_with_the_same_image_names[the first goes first-the same content]",
    "tests/crash/test_two_projects.py::test_two_projects_with_the_same_image_names[the second goes first-the same content]",
    "tests/hooks/test_elsewhere.py::test_without_the_record*",
    "tests/images/test_crash.py::test_a_build_of_what_somebody_removed_is_killed",
    "tests/images/test_crash.py::test_killed_and_then_built_to_the_end",
    "tests/images/test_many.py::test_killed_in_the_middle_of_several",
    "tests/nodes/test_crash.py::test_killed_and_then_loaded_to_the_end",
    "tests/nodes/test_crash.py::test_killed_at_every_moment_of_an_unload",
    "tests/nodes/test_crash.py::test_killed_in_the_middle_of_the_transfer",
    "tests/registry/test_platforms.py::test_killed_between_the_images_and_the_index",
    "tests/sandbox/services/test_process.py::test_a_server_killed_while_it_starts_leaves_nothing_after_down",
    "tests/registry/test_crash.py::test_killed_and_pushed_again",
    "tests/scenarios/test_killed.py::test_killed[after-build]",
    "tests/scenarios/test_killed.py::test_killed[at-start]",
    "tests/scenarios/test_killed.py::test_killed[during-build]",
    "tests/scenarios/test_killed.py::test_killed[during-deploy]",
    "tests/scenarios/test_killed.py::test_killed[while-waiting]",
    "tests/scenarios/test_killed.py::test_killed_during_the_second_iteration",
    # another command line, version or kind
    "tests/dev/test_ending.py::test_a_signal[process-*",
    "tests/dev/test_ending.py::test_which_images_go_at_the_end[none-2]",
    "tests/dev/test_started_sandbox.py::test_it_stays_with_what_somebody_else_put_into_it[set]",
    "tests/dev/test_started_sandbox.py::test_it_stays_with_what_somebody_else_put_into_it[system]",
    "tests/images/test_build.py::test_a_signal_stops_a_build_and_leaves_nothing[buildkit-1]",
    "tests/images/test_build.py::test_odd_image_names[docker.io/library/{0}]",
    "tests/images/test_build.py::test_odd_image_names[docker.io/team/{0}]",
    "tests/images/test_undo.py::test_an_image_in_use_stays_with_its_record_until_it_is_free[stopped]",
    "tests/nodes/test_load.py::test_a_cluster_of_that_name_on_another_machine",
    "tests/sandbox/pods/test_process.py::test_ups_and_downs_at_the_same_time_come_one_after_the_other",
    "tests/sandbox/services/test_cluster_ips.py::test_a_stream_survives_its_pod_becoming_unready",
    "tests/sandbox/services/test_cluster_ips.py::test_same_names_in_two_namespaces_are_two_services",
    "tests/sandbox/services/test_process.py::test_by_choice_names_lead_straight_to_pods_and_status_says_so",
    "tests/sandbox/services/test_process.py::test_two_sandboxes_have_addresses_of_their_own",
    "tests/images/test_edit_while_building.py::test_an_edit_that_is_taken_back_before_the_build_ends",
    "tests/nodes/test_load.py::test_an_engine_learns_in_the_background_what_it_built",
    "tests/nodes/test_load.py::test_an_image_that_somebody_removed_is_loaded_again",
    "tests/scenarios/test_examples.py::test_a_fresh_clone_builds_nothing[18]",
    "tests/scenarios/test_examples.py::test_any_number_of_jobs[1]",
    "tests/scenarios/test_status_check.py::test_other_workloads[DaemonSet]",
    "tests/targets/test_told.py::test_minikube_with_the_containerd_runtime",
    "tests/dev/test_edits.py::test_a_file_that_never_rests",
    # Pods that tests/scenarios/api, which real clusters are held to as well, has too: in test_pods.py, …
    "tests/sandbox/pods/test_life_of_a_pod.py::test_a_crash_loop_backs_off_and_keeps_the_previous_log",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_a_pod_that_does_not_fit_says_why",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_an_http_probe_finds_the_pod",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_containers_of_one_pod_share_its_network",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_init_containers_run_first_in_order_and_a_failed_one_ends_the_pod",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_on_failure_restarts_until_it_succeeds",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_probes_gate_readiness_and_restart_what_hangs",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_the_grace_period_is_honoured_and_can_be_cut_short",
    "tests/sandbox/pods/test_life_of_a_pod.py::test_what_cannot_be_started_says_so",
    # … in test_services.py, …
    "tests/sandbox/services/test_cluster_ips.py::test_a_target_port_by_name_is_found_in_the_pod",
    # … in test_streams.py, …
    "tests/sandbox/pods/test_logs.py::test_a_container_has_to_be_named_where_there_are_several",
    "tests/sandbox/pods/test_logs.py::test_a_container_that_waits_has_no_log_yet",
    "tests/sandbox/pods/test_logs.py::test_exec_gives_output_input_and_exit_code",
    "tests/sandbox/pods/test_logs.py::test_since_leaves_out_what_is_older",
    "tests/sandbox/pods/test_logs.py::test_tail_limits_and_timestamps",
    "tests/sandbox/pods/test_logs.py::test_the_previous_run_is_kept_and_a_missing_one_is_refused",
    # … and in test_workloads.py
    "tests/sandbox/pods/test_workloads.py::test_a_deployment_rolls_from_one_template_to_the_next",
    "tests/sandbox/pods/test_workloads.py::test_a_job_completes_and_its_log_is_found_by_its_name",
    "tests/sandbox/pods/test_workloads.py::test_a_job_fails_at_its_backoff_limit",
    "tests/sandbox/pods/test_workloads.py::test_a_rollout_to_a_broken_image_keeps_the_old_pods_and_reports_the_deadline",
    "tests/sandbox/pods/test_workloads.py::test_indexed_jobs_number_their_pods",
    "tests/sandbox/pods/test_workloads.py::test_recreate_never_runs_old_and_new_at_once",
    "tests/sandbox/pods/test_workloads.py::test_scaling_and_replacing_a_lost_pod",
    "tests/sandbox/pods/test_workloads.py::test_ten_pods_start_together",
)


def settle(config: pytest.Config) -> None:
    """Who names files, folders or tests gets all that is there. To be called before there are other processes (-n)."""
    if config.args_source is pytest.Config.ArgsSource.ARGS and not hasattr(config, "workerinput"):
        os.environ[_VARIABLE] = "1"


def wanted() -> bool:
    return bool(os.environ.get(_VARIABLE))


def says_again(item: pytest.Item) -> bool:
    """Whether this test is one of them. An entry is a test, or with a `*` all that begin and go on like it."""
    return any(_fits(item.nodeid, entry) for entry in _AGAIN)


def _fits(name: str, entry: str) -> bool:
    head, star, tail = entry.partition("*")
    return name == entry if not star else name.startswith(head) and tail.rstrip("*") in name[len(head) :]
