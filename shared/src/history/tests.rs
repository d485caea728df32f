use super::*;

/// Returns the settings after migrating: refresh windows of 31, 32 and 34 days, no retention, and
/// idle producers removed after 60 days.
fn migrated() -> HistorySettings {
    HistorySettings {
        look_back: [31, 32, 34].map(|days| LookBack::Micros(days * DAY)),
        kept: [None; 4],
        producers_remembered: Some(60 * DAY),
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn pairs(settings: &HistorySettings, accepted: Duration) -> Vec<&'static str> {
    settings.conflicts(accepted).iter().map(|conflict| conflict.pair.name()).collect()
}

fn sentence(settings: &HistorySettings, accepted: Duration) -> String {
    let [conflict] = &settings.conflicts(accepted)[..] else {
        panic!("not one conflict: {settings:?}")
    };
    conflict.sentence.clone()
}

#[test]
fn the_settings_of_a_new_database_go_together() {
    assert_eq!(pairs(&migrated(), days(30)), [""; 0]);
    assert_eq!(pairs(&migrated(), days(1)), [""; 0]);
}

#[test]
fn a_refresh_that_looks_back_less_than_a_day_beyond_the_accepted_age_is_named() {
    let accepted = days(30) + Duration::from_micros(1);
    assert_eq!(pairs(&migrated(), accepted), ["accepted_age_minute_refresh"]);
    let settings = HistorySettings { producers_remembered: None, ..migrated() };
    assert_eq!(
        sentence(&settings, days(400)),
        "TIDEGAUGE_OLDEST_ACCEPTED is 400 days, but refreshes of points_1min look back 31 days \
         (points are kept forever): older points would never reach the rollups; lower \
         TIDEGAUGE_OLDEST_ACCEPTED to 30 days, or raise both: SELECT set_accepted_age('400 days')"
    );
}

#[test]
fn a_rollup_that_looks_back_less_than_the_one_under_it_and_its_own_bucket_is_named() {
    let mut settings = migrated();
    settings.look_back[1] = LookBack::Micros(31 * DAY + HOUR - 1);
    assert_eq!(pairs(&settings, days(30)), ["minute_refresh_hour_refresh"]);
    settings.look_back[1] = LookBack::Micros(31 * DAY + HOUR);
    assert_eq!(pairs(&settings, days(30)), [""; 0]);
    settings.look_back[2] = LookBack::Micros(10 * DAY);
    assert_eq!(pairs(&settings, days(30)), ["hour_refresh_day_refresh"]);
}

#[test]
fn retention_that_drops_what_a_refresh_looks_back_over_is_named_at_every_level() {
    let names = [
        "minute_refresh_points_retention",
        "hour_refresh_minute_retention",
        "day_refresh_hour_retention",
    ];
    for (level, name) in names.into_iter().enumerate() {
        let LookBack::Micros(look_back) = migrated().look_back[level] else { panic!("bounded") };
        let mut settings = migrated();
        settings.kept[level] = Some(look_back + DAY - 1);
        assert_eq!(pairs(&settings, days(30)), [name]);
        settings.kept[level] = Some(look_back + DAY);
        assert_eq!(pairs(&settings, days(30)), [""; 0]);
    }
    let mut settings = migrated();
    settings.kept[0] = Some(7 * DAY);
    assert_eq!(
        sentence(&settings, days(30)),
        "points is kept for 7 days, but refreshes of points_1min look back 31 days \
         (TIDEGAUGE_OLDEST_ACCEPTED is 30 days): late points may be dropped before they reach the \
         rollup, and a refresh over dropped data deletes its buckets; keep it for 32 days or more: \
         SELECT set_retention('points', '32 days'), or lower the accepted age with \
         set_accepted_age and TIDEGAUGE_OLDEST_ACCEPTED"
    );
}

#[test]
fn days_may_be_dropped_whenever_it_pleases() {
    let mut settings = migrated();
    settings.kept[3] = Some(DAY);
    assert_eq!(pairs(&settings, days(30)), [""; 0], "no rollup is built on days");
}

#[test]
fn a_refresh_without_bound_goes_with_every_age_but_with_no_retention() {
    let mut settings = HistorySettings { look_back: [LookBack::Unbounded; 3], ..migrated() };
    assert_eq!(pairs(&settings, days(59)), [""; 0]);
    settings.kept[0] = Some(3_650 * DAY);
    assert_eq!(pairs(&settings, days(59)), ["minute_refresh_points_retention"]);
}

#[test]
fn a_rollup_that_nothing_refreshes_is_named() {
    let mut settings = migrated();
    settings.look_back[2] = LookBack::Nothing;
    assert_eq!(pairs(&settings, days(30)), ["hour_refresh_day_refresh"]);
    assert!(sentence(&settings, days(30)).contains("no job refreshes points_1day"));
}

#[test]
fn producers_are_remembered_for_longer_than_their_points_are_accepted() {
    let mut settings = HistorySettings { look_back: [LookBack::Unbounded; 3], ..migrated() };
    assert_eq!(pairs(&settings, days(60)), ["accepted_age_idle_producers"]);
    settings.producers_remembered = Some(61 * DAY);
    assert_eq!(pairs(&settings, days(60)), [""; 0]);
}
