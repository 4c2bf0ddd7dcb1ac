//! Notifications, read or not.

use super::Version;
use crate::json::Json;
use crate::object_id::Kind;
use crate::options::DAY_MS;
use crate::random::Purpose;
use crate::style::Style;
use crate::vocabulary;
use crate::world::World;

/// Writes a notification and says whether it is a state other than the current one.
pub(crate) fn write(world: &World, index: u64, version: Version, json: &mut Json) -> bool {
    let mut random = world.random(Purpose::Notification, index);
    let style = Style::draw(&mut random);
    let created_ms = world.rhythm.at(index, world.sizes.notifications, &mut random);
    let current_read_ms = random.per_mille(600).then(|| world.later(created_ms, 2 * DAY_MS, &mut random));
    let is_other = version == Version::Other && current_read_ms.is_some_and(|read_ms| read_ms > created_ms);
    // The other state is the one before it was read.
    let read_ms = current_read_ms.filter(|_| !is_other);

    json.begin(style);
    json.id(world.ids.id(Kind::Notification, created_ms, index));
    json.reference("userId", world.user_id(world.population.draw_user(created_ms, &mut random)));
    let types = [(600, "message"), (150, "call_missed"), (150, "reaction"), (80, "group_invite"), (20, "security")];
    json.text("type", random.weighted(&types));
    if !random.per_mille(30) {
        json.parts("title", &[vocabulary::display_name(&mut random), random.pick(&[" wrote", ": 📷", " is calling"])]);
    }
    if read_ms.is_some() || random.per_mille(800) {
        json.flag("isRead", read_ms.is_some());
    }
    json.date("createdAt", created_ms);
    match read_ms {
        Some(read_ms) => json.date("readAt", read_ms),
        None => json.null("readAt"),
    }
    if !style.is_documented() {
        json.open_object("data");
        json.text("deepLink", "quickchat://open");
        json.parts("pushToken", &["CANARY-PUSH-TOKEN-", &index.to_string()]);
        json.close_object();
    }
    is_other
}
