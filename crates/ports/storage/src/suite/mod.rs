//! Contract suite of the storage ports.
//!
//! Each case takes an empty store and panics if the store violates its documentation.
//! [`storage_suite!`](crate::storage_suite) generates one test per case, for the fake and for every adapter:
//!
//! ```text
//! pos_port_storage::storage_suite!(open_an_empty_store().await);
//! ```
//!
//! Cases take the time from constants: no case waits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case is a test: it must panic when the store is wrong"
)]

mod audit;
mod device;
mod fixtures;
mod fleet;
mod pairing;
mod tenancy;

pub use audit::{admin_events, events, purge_races, retention, trail};
pub use device::{codes, races, save, terminal_infos};
pub use fleet::{add_and_list, creation, devices, import_races, import_upkeep, imports};
pub use pairing::{claims, failures};
pub use tenancy::{directory, locations, members, sessions};

/// Generates one `#[tokio::test]` per case. The argument is an expression that opens an empty
/// [`Storage`](crate::Storage) in an async function. It may also return a tuple of a store and a value that must live
/// as long as the test, such as a temporary directory.
#[macro_export]
macro_rules! storage_suite {
    ($open:expr) => {
        $crate::storage_suite!(@cases $open,
            save: [
                unknown_device_is_none,
                every_state_is_read_back_as_saved,
                instants_keep_their_microseconds,
                the_longest_ids_are_stored,
                stale_version_is_a_conflict,
                a_version_ahead_is_a_conflict,
                unknown_device_is_a_conflict,
                a_refused_save_stores_nothing,
                events_are_in_order_and_without_gaps,
                an_unknown_device_has_no_events,
                events_store_actor_and_time,
            ],
            codes: [
                a_pending_code_is_found,
                an_expired_code_is_found,
                an_unknown_code_is_not_found,
                a_superseded_code_is_found_only_as_a_past_code,
                a_released_code_is_found_only_as_a_used_code,
                decommission_and_transfer_invalidate_the_code,
                the_latest_past_code_is_returned,
                a_pending_code_cannot_be_issued_twice,
                an_expired_code_cannot_be_issued_twice,
                a_superseded_code_can_be_issued_again,
                a_used_code_can_be_issued_again,
                a_pending_code_takes_precedence_over_a_claimed_one,
                the_latest_claim_of_a_code_is_returned,
                a_conflict_takes_precedence_over_a_taken_code,
            ],
            terminal_infos: [
                terminal_info_does_not_change_the_version,
                a_save_preserves_the_terminal_info,
                terminal_info_does_not_create_a_device,
                later_terminal_info_replaces_all_of_the_earlier,
            ],
            add_and_list: [
                taken_ids_are_returned_and_nothing_is_created,
                the_same_id_twice_is_refused,
                creating_nothing_succeeds,
                only_new_devices_are_created,
                thousands_are_created_at_once,
                pages_are_in_byte_order_and_complete,
                a_page_can_be_filtered_by_merchant,
                a_page_with_limit_zero_is_empty,
            ],
            devices: [
                a_scope_reaches_its_own_devices_only,
                an_unknown_device_is_not_found_in_any_scope,
                a_scoped_save_has_the_same_refusals,
                a_transfer_needs_both_merchants_in_scope,
                a_transferred_device_is_hidden_from_its_former_merchant,
                events_of_a_device_are_paged,
                a_page_can_be_filtered_by_status,
                a_page_can_be_filtered_by_location,
                details_are_read_back_in_every_state,
                a_location_of_another_merchant_is_refused,
                a_merchant_without_a_row_has_no_device,
            ],
            creation: [
                a_key_creates_once,
                keys_are_scoped_to_their_party,
                an_expired_key_can_be_used_again,
                the_key_is_optional,
                creation_refusals_have_a_documented_order,
                a_scope_creates_for_its_own_merchants,
                concurrent_requests_with_one_key_create_once,
                a_refused_request_releases_its_key,
            ],
            claims: [
                a_claim_is_saved_once_per_key,
                a_refused_claim_stores_no_key,
                concurrent_claims_with_one_key_are_saved_once,
            ],
            locations: [
                a_location_is_created_once,
                a_location_is_created_once_per_key,
                the_audit_event_of_a_location_is_read_back,
                a_location_is_renamed_within_a_scope,
                locations_are_found_and_listed_by_scope,
            ],
            failures: [
                a_new_claimant_has_no_windows,
                failures_are_counted_within_the_window,
                a_new_window_starts_exactly_at_the_end,
                merchant_and_user_have_separate_windows,
                counting_follows_the_domain_rule,
                a_window_started_by_a_fast_clock_is_ignored,
                a_user_named_like_a_merchant_is_separate,
            ],
            events: [
                a_chain_is_read_back_intact,
                a_refusal_is_read_back_as_recorded,
                a_refusal_does_not_change_the_device,
                rejections_by_the_limit_are_recorded_once_per_window,
                merchant_and_user_windows_have_separate_events,
                concurrent_failures_record_the_limit_and_one_rejection,
                pages_by_time_are_in_order_and_complete,
                pages_by_device_are_in_order_and_complete,
            ],
            races: [
                concurrent_saves_of_one_version_succeed_once,
                concurrent_changes_of_one_version_succeed_once,
                two_devices_cannot_get_one_code,
                many_devices_cannot_get_one_code,
                every_failure_is_counted_once,
                overlapping_failures_do_not_deadlock,
                terminal_info_and_saves_do_not_conflict,
                concurrent_creations_of_one_id_succeed_once,
                concurrent_pings_succeed,
            ],
            admin_events: [
                directory_changes_are_audited,
                a_merchant_is_renamed_within_a_scope,
                membership_changes_are_audited,
                client_changes_are_audited,
                sessions_are_audited,
                logouts_are_audited,
                concurrent_additions_are_audited_once,
                concurrent_removals_are_audited_once,
            ],
            trail: [
                events_are_stored_with_their_digests,
                checkpoints_form_a_chain,
                concurrent_checkpoints_cover_each_event_once,
                rows_match_their_events,
                checkpoint_entries_outlive_their_events,
            ],
            directory: [
                resellers_and_merchants_are_read_back,
                a_party_is_created_once,
                a_merchant_of_an_unknown_reseller_is_refused,
                a_scope_finds_its_own_merchants_only,
                parties_are_paged,
                a_merchant_is_created_once_per_key,
                concurrent_creations_with_one_key_create_one_merchant,
            ],
            members: [
                a_membership_is_read_back_at_its_party,
                a_second_membership_replaces_the_first,
                an_invalid_membership_is_refused,
                a_membership_is_removed_once,
                members_are_listed_by_their_party,
                a_client_is_created_once,
                a_client_is_rotated_until_it_is_revoked,
                clients_are_listed_by_their_party,
                wrong_secrets_are_counted,
                the_longest_ids_are_stored,
            ],
            imports: [
                staged_rows_are_read_back,
                rows_are_staged_once_and_before_finalization,
                each_row_has_its_own_outcome,
                all_or_nothing_creates_all_devices_on_completion,
                one_refused_row_refuses_all,
                a_row_refused_by_the_store_refuses_all,
                a_key_is_used_by_one_import,
                a_row_for_an_unknown_merchant_is_refused,
                expired_imports_are_removed,
            ],
            import_upkeep: [
                use_extends_the_expiry_of_an_import,
                a_partly_removed_import_is_not_found,
                an_upload_is_finalized_with_all_its_rows,
                an_import_with_pending_rows_is_not_completed,
                an_upload_is_discarded,
            ],
            import_races: [
                concurrent_callers_apply_every_row_once,
                concurrent_completions_create_devices_once,
                of_concurrent_imports_of_the_same_devices_one_is_applied,
                concurrent_finalizations_with_one_key_succeed_once,
            ],
            retention: [
                past_codes_are_purged,
                failure_windows_are_purged,
                sessions_and_logouts_are_purged,
                revoked_tokens_are_purged,
                stored_responses_are_purged,
                imports_are_purged,
                the_oldest_events_are_replaced_by_a_checkpoint,
                needed_events_are_retained,
                event_batches_continue_where_the_last_one_ended,
                a_purge_of_events_is_audited,
            ],
            purge_races: [
                concurrent_purges_remove_every_row_once,
                a_purge_does_not_delete_rows_in_use,
                chains_stay_valid_during_a_purge,
            ],
            sessions: [
                a_session_is_found_until_it_expires,
                every_kind_of_session_is_read_back,
                the_reseller_is_read_from_the_directory,
                a_session_is_renewed_in_place,
                a_session_without_its_grant_is_not_started,
                a_session_may_have_a_lower_role_than_its_grant,
                a_session_is_ended_once,
                an_end_revokes_both_tokens,
                an_end_without_a_session_ends_nothing,
                concurrent_starts_do_not_survive_an_end,
                sessions_end_with_their_membership,
                sessions_end_with_their_client,
                a_logged_out_session_cannot_restart,
                a_later_token_is_valid_after_a_user_logout,
                concurrent_starts_store_one_session,
                no_session_outlives_a_revocation,
                every_wrong_secret_is_counted_once,
            ],
        );
    };
    (@cases $open:expr, $($module:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = $open;
                $crate::suite::$module::$case($crate::suite::Opened::storage(&store)).await;
            })*
        })*
    };
}

/// Value that the opening expression may return.
pub trait Opened {
    /// Returns the store under test.
    fn storage(&self) -> crate::Storage;
}

impl Opened for crate::Storage {
    fn storage(&self) -> crate::Storage {
        self.clone()
    }
}

impl<T> Opened for (crate::Storage, T) {
    fn storage(&self) -> crate::Storage {
        self.0.clone()
    }
}
