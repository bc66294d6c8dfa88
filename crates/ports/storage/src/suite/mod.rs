//! The contract of the storage ports, in executable form.
//!
//! Each case takes an empty store and panics where the store breaks a documented sentence. [`storage_suite!`](crate::storage_suite) makes
//! one test of each case, for the fake and for every adapter alike:
//!
//! ```text
//! pos_port_storage::storage_suite!(open_an_empty_store().await);
//! ```
//!
//! A case that needs the time takes it from the constants here: no case waits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case is a test: it must panic when the store is wrong"
)]

pub mod acts;
pub mod add_and_list;
pub mod audit;
pub mod claims;
pub mod codes;
pub mod creation;
pub mod directory;
pub mod failures;
mod fixtures;
pub mod fleet;
pub mod import_races;
pub mod import_upkeep;
pub mod imports;
pub mod locations;
pub mod members;
pub mod races;
pub mod reclaim_races;
pub mod reclaiming;
pub mod save;
pub mod sessions;
pub mod sightings;
mod tenancy;
pub mod trail;

/// Makes one `#[tokio::test]` of every case. The argument is an expression that opens an empty
/// [`Storage`](crate::Storage), in an async function; what it evaluates to may also be a tuple of a store and whatever
/// must live as long as the test, such as a temporary folder.
#[macro_export]
macro_rules! storage_suite {
    ($open:expr) => {
        $crate::storage_suite!(@cases $open,
            save: [
                unknown_device_is_none,
                every_state_is_read_back_as_saved,
                instants_keep_their_microseconds,
                the_longest_names_fit,
                stale_version_is_a_conflict,
                a_version_ahead_is_a_conflict,
                unknown_device_is_a_conflict,
                a_refused_save_keeps_nothing,
                events_are_in_order_and_without_gaps,
                events_of_an_unknown_device_are_none,
                events_keep_who_and_when,
            ],
            codes: [
                a_waiting_code_is_found,
                an_expired_code_is_found,
                an_unknown_code_is_not_found,
                a_retired_code_is_found_only_as_ended,
                a_released_code_is_found_only_as_used,
                a_code_ends_with_its_device,
                the_latest_end_of_a_code_is_told,
                a_waiting_code_is_taken,
                an_expired_code_is_taken,
                a_retired_code_is_free,
                a_used_code_is_free,
                a_waiting_device_comes_before_a_claimed_one,
                the_latest_claim_of_a_code_is_told,
                a_conflict_comes_before_a_taken_code,
            ],
            sightings: [
                a_sighting_is_kept_beside_the_version,
                a_save_leaves_the_sighting,
                an_unknown_device_stays_unknown,
                a_later_sighting_replaces_all_of_the_earlier,
            ],
            add_and_list: [
                taken_ids_are_answered_and_nothing_is_created,
                the_same_id_twice_is_refused,
                nothing_to_create_is_no_error,
                only_new_devices_are_created,
                thousands_are_created_at_once,
                pages_are_in_byte_order_and_complete,
                a_page_can_be_one_merchants,
                a_page_of_none_is_empty,
            ],
            fleet: [
                a_scope_reaches_its_own_devices_only,
                an_unknown_device_is_nobodys,
                a_partys_save_is_refused_as_any,
                a_move_needs_both_ends,
                a_moved_device_leaves_its_former_merchant,
                events_of_a_device_come_in_pages,
                a_page_can_be_of_one_state,
                a_page_can_be_of_one_location,
                details_are_read_back_in_every_state,
                a_location_elsewhere_is_refused,
                a_merchant_without_a_row_has_no_device,
            ],
            creation: [
                a_key_creates_once,
                a_key_is_its_partys,
                a_key_is_free_when_its_time_is_over,
                a_call_may_have_no_key,
                refusals_to_create_come_in_order,
                a_scope_creates_for_its_own_merchants,
                of_many_calls_with_one_key_one_creates,
                a_refused_call_hands_its_key_on,
            ],
            claims: [
                a_claim_is_kept_once_for_its_key,
                a_refused_claim_keeps_no_key,
                of_many_claims_with_one_key_one_is_kept,
            ],
            locations: [
                a_location_is_made_known_once,
                a_location_is_made_known_once_by_its_key,
                a_locations_record_is_read_back,
                a_location_is_renamed_by_those_who_see_it,
                locations_are_found_and_listed_by_scope,
            ],
            failures: [
                nothing_failed_at_first,
                failures_are_counted_within_the_window,
                a_new_window_starts_exactly_at_the_end,
                merchant_and_user_have_windows_of_their_own,
                counting_is_the_domains_rule,
                a_window_of_a_fast_clock_is_over,
                a_merchant_and_a_user_of_one_name_are_two,
            ],
            audit: [
                a_chain_is_read_back_whole,
                a_refusal_is_read_back_as_recorded,
                a_refusal_disturbs_no_device,
                a_flood_leaves_one_event_a_window,
                merchant_and_user_have_an_event_each,
                a_burst_leaves_the_limit_and_one,
                pages_by_time_are_in_order_and_complete,
                pages_by_device_are_in_order_and_complete,
            ],
            races: [
                of_many_saves_of_one_version_one_is_kept,
                of_many_acts_on_one_version_one_is_kept,
                of_two_devices_with_one_code_one_is_kept,
                of_many_devices_with_one_code_one_is_kept,
                every_failure_is_counted_once,
                crossing_failures_do_not_block_each_other,
                sightings_and_saves_do_not_disturb_each_other,
                of_many_who_create_one_id_one_does,
                every_ping_is_answered,
            ],
            acts: [
                the_directory_is_on_record,
                a_merchant_is_renamed_within_a_scope,
                memberships_are_on_record,
                clients_are_on_record,
                sessions_are_on_record,
                logouts_are_on_record,
                of_many_who_add_one_thing_one_is_on_record,
                of_many_who_end_one_thing_one_is_on_record,
            ],
            trail: [
                events_carry_their_digests,
                a_seal_goes_on_where_the_last_one_ended,
                of_many_who_seal_each_event_is_sealed_once,
                rows_agree_with_their_events,
                seals_outlive_their_events,
            ],
            directory: [
                resellers_and_merchants_are_read_back,
                a_party_is_made_known_once,
                a_merchant_of_nobodys_reseller_is_refused,
                a_scope_finds_its_own_merchants_only,
                parties_are_listed_page_by_page,
                a_merchant_is_made_known_once_for_a_key,
                of_many_with_one_key_one_makes_a_merchant,
            ],
            members: [
                a_membership_is_read_back_at_its_party,
                a_second_membership_replaces_the_first,
                an_impossible_membership_is_refused,
                a_membership_is_removed_once,
                members_are_listed_by_their_party,
                a_client_is_read_back_and_made_once,
                a_client_is_rotated_until_it_is_revoked,
                clients_are_listed_by_their_party,
                wrong_secrets_are_counted,
                the_longest_subjects_are_members,
            ],
            imports: [
                staged_rows_are_read_back,
                rows_are_staged_before_the_seal_and_once,
                each_row_has_its_own_outcome,
                all_rows_become_devices_at_the_end,
                one_refused_row_refuses_all,
                what_the_store_refuses_refuses_all,
                a_key_is_kept_by_one_import,
                a_row_for_nobody_is_refused,
                imports_that_are_over_are_removed,
            ],
            import_upkeep: [
                an_import_in_use_is_kept,
                nobody_finds_half_an_import,
                what_is_sealed_has_all_its_rows,
                an_import_ends_with_its_last_row,
                an_upload_is_discarded,
            ],
            import_races: [
                many_appliers_do_every_row_once,
                many_who_conclude_create_once,
                of_many_imports_of_one_fleet_one_is_applied,
                of_many_seals_with_one_key_one_is_kept,
            ],
            reclaiming: [
                ended_codes_go,
                windows_of_failures_go,
                sessions_and_logouts_go,
                ended_tokens_go,
                answers_go,
                imports_go,
                the_oldest_events_go_and_leave_an_anchor,
                needed_events_stay,
                batches_of_events_go_on_where_they_ended,
                what_went_is_on_record,
            ],
            reclaim_races: [
                many_sweepers_remove_every_row_once,
                sweepers_take_nothing_that_is_needed,
                chains_hold_while_events_go,
            ],
            sessions: [
                a_session_is_found_until_it_is_over,
                every_kind_of_session_is_read_back,
                the_reseller_is_the_directorys,
                a_session_is_renewed_in_place,
                a_session_without_its_grant_is_not_started,
                a_session_may_have_less_than_its_grant,
                a_session_is_ended_once,
                an_end_is_of_both_tokens,
                an_end_without_a_session_ends_nothing,
                no_session_outlives_its_end,
                sessions_end_with_their_membership,
                sessions_end_with_their_client,
                a_logged_out_session_stays_out,
                a_logged_out_user_comes_back_with_a_later_token,
                many_starts_of_one_session_keep_one,
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

/// What an opening expression may evaluate to.
pub trait Opened {
    /// The store under test.
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
