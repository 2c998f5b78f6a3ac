"""Every fact the product can state. The reference page and its test are drawn from this list."""

# A table reads best with one row a line.
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FactType:
    """One fact: its type, what its key names, what it says, and what `data` holds at least."""

    type: str
    key: str
    says: str
    data: tuple[str, ...]


_CONNECTION = ("name", "connector", "kind", "reason", "evidence", "epoch", "attempt")
_RECOVERY = ("id", "rung", "title", "step", "cause")
_CALL = (
    "server", "client", "vhost", "callnumber", "origin", "origin_type", "destiny", "destiny_type", "dialled",
    "channel", "opened_ms", "linked_guid", "pushed", "clicktocall", "recovered",
)  # fmt: skip
_PROCESS = (
    "vehicle_id", "process_id", "kind", "job", "comment", "acknowledged", "total", "sent", "percent", "reported",
    "status", "error", "last_command", "configuration_key", "key_acknowledged", "queued_ms", "heard_ms",
)  # fmt: skip
_MESSAGE = (
    "message", "key", "serialized", "kind", "type", "from_me", "channel", "conversation", "contact", "chat", "group",
    "phone", "author", "text", "media", "quoted", "occurred_at", "ack", "recovered",
)  # fmt: skip
_ALIAS = ("channel", "alias", "phone", "contact", "merged", "evidence")
_CONVERSATION = ("channel", "contact", "by")
_INSTALLATION = ("service", "plate", "job", "by")

FACTS: tuple[FactType, ...] = (
    FactType("connection.created", "connection", "A person configured a connection.", ("name", "connector", "by")),
    FactType("connection.changed", "connection", "A person changed its settings.", ("name", "fields", "by")),
    FactType("connection.deleted", "connection", "A person took it out of use.", ("name", "by")),
    FactType("connection.opening", "connection", "A session is being opened and proven.", _CONNECTION),
    FactType("connection.live", "connection", "Every essential plane is proven.", _CONNECTION),
    FactType("connection.suspect", "connection", "Open, but something is not proven any more.", _CONNECTION),
    FactType("connection.lost", "connection", "The session ended; nothing is heard.", _CONNECTION),
    FactType("connection.waiting", "connection", "The next try comes after a pause.", _CONNECTION),
    FactType("connection.needs_person", "connection", "Only a person can go on.", (*_CONNECTION, "ask")),
    FactType("connection.stopped", "connection", "Nobody wants it, or its owner stopped.", _CONNECTION),
    FactType("session.looked", "connection", "Somebody looked how a session is, because of a suspicion.", ("health", "kind", "said", "ask", "missed_ms", "evidence", "suspicion")),
    FactType("recovery.tried", "connection", "A rung of the ladder is tried on a session.", (*_RECOVERY, "does", "proof", "server")),
    FactType("recovery.proved", "connection", "The rung helped; the proof has come.", (*_RECOVERY, "said", "took_ms")),
    FactType("recovery.failed", "connection", "The rung did not help.", (*_RECOVERY, "said", "took_ms")),
    FactType("gap.opened", "connection", "From here on something may be missed.", ("id", "from_ms", "to_ms", "cause", "origin", "planes")),
    FactType("gap.closed", "connection", "Gaps were reconciled as far as the upstream allows; or a routine check was made.", ("from_ms", "to_ms", "cause", "gaps", "routine", "checked", "recovered", "left", "lost", "unknown")),
    FactType("call.opened", "call", "A call rings.", _CALL),
    FactType("call.answered", "call", "Somebody answered.", (*_CALL, "answered_by", "answered_ms", "ring_s", "extra_channel")),
    FactType("call.ended", "call", "The conversation is over.", (*_CALL, "ended_ms", "ring_s", "talk_s", "outcome", "reason", "hangup_by", "dtmf", "recording", "urlfilename", "transferred_to", "forceclose")),
    FactType("endpoint.status_changed", "endpoint", "A phone came or went.", ("endpoint", "status", "address", "client", "since_ms")),
    FactType("endpoint.address_seen", "endpoint", "A phone registered from this address.", ("endpoint", "address", "client")),
    FactType("endpoint.wake_requested", "endpoint", "A sleeping smartphone is called and must be woken.", ("endpoint", "origin", "guid", "expires")),
    FactType("subscription.created", "subscription", "A consumer asked for facts.", ("name", "by")),
    FactType("subscription.changed", "subscription", "What is delivered, or where, changed.", ("name", "fields", "by")),
    FactType("subscription.deleted", "subscription", "The consumer gets nothing any more.", ("name", "by")),
    FactType("delivery.dead", "delivery", "A delivery was given up and waits for a decision.", ("subscription", "destination", "seq", "error", "attempts")),
    FactType("delivery.replayed", "subscription", "Deliveries were sent again on request.", ("count", "filter", "by")),
    FactType("target.opened", "lane", "A destination is down; its deliveries wait.", ("subscription", "destination", "since_ms", "error", "waiting")),
    FactType("target.closed", "lane", "The destination takes deliveries again.", ("subscription", "destination", "since_ms", "waiting")),
    FactType("worker.lost", "worker", "A worker stopped showing signs of life.", ("host", "pid", "seen_ms")),
    FactType("job.queued", "job", "Somebody asked an upstream for something.", ("kind", "connection", "root", "step", "params", "by")),
    FactType("job.started", "job", "A worker took it.", ("kind", "connection", "root", "attempt", "epoch", "worker")),
    FactType("job.step_done", "job", "A step has its answer.", ("kind", "connection", "root", "step", "step_kind", "took_ms")),
    FactType("job.step_failed", "job", "A step ended without success, surely; what the job makes of it follows.", ("kind", "connection", "root", "step", "step_kind", "reason", "said")),
    FactType("job.returned", "job", "A worker outside gave it back, or let its lease run out; it is queued again.", ("kind", "connection", "root", "worker", "said")),
    FactType("job.progressed", "job", "How far it is.", ("kind", "connection", "root", "percent", "said")),
    FactType("job.asked", "job", "It waits until a person chooses.", ("kind", "connection", "root", "name", "question", "choices", "until_ms")),
    FactType("job.in_doubt", "job", "A step left and no answer is known; nothing is sent until it is decided.", ("kind", "connection", "root", "step", "trace", "evidence", "said")),
    FactType("job.probed", "job", "Its trace was looked for upstream, and a person must decide: what was seen.", ("kind", "connection", "root", "step", "said")),
    FactType("job.decided", "job", "Somebody decided, or a probe found the trace; with what was seen and what the step counts as having answered.", ("kind", "connection", "root", "step", "choice", "by")),
    FactType("job.retried", "job", "It runs again on request.", ("kind", "connection", "root", "attempt", "reason", "by")),
    FactType("job.done", "job", "It ended as asked.", ("kind", "connection", "root", "result", "took_ms")),
    FactType("job.failed", "job", "It ended without success.", ("kind", "connection", "root", "reason", "said", "known")),
    FactType("job.cancelled", "job", "Somebody called it off.", ("kind", "connection", "root", "reason", "by")),
    FactType("job.expired", "job", "It waited longer than it was worth.", ("kind", "connection", "root", "expires_ms")),
    FactType("process.queued", "process", "An upstream has queued a process for a vehicle; nothing more.", (*_PROCESS, "client_id", "inferred")),
    FactType("process.progressed", "process", "How far a process is, from what the unit has acknowledged.", _PROCESS),
    FactType("process.key_acknowledged", "process", "The unit has taken the configuration key that was written to it.", _PROCESS),
    FactType("process.ended", "process", "It is over; how, and why that is said.", (*_PROCESS, "outcome", "why", "took_ms")),
    FactType("process.confirmed", "process", "The unit itself proves that it was done.", (*_PROCESS, "outcome")),
    FactType("vehicle.connection_changed", "vehicle", "A vehicle's unit came or went.", ("connected", "since_ms", "evidence")),
    FactType("vehicle.parameters_seen", "vehicle", "The unit told values; only those that are new are in it.", ("parameters", "known", "missing")),
    FactType("vehicle.modules_read", "vehicle", "The registry of the unit's modules was read.", ("rows", "complete", "best", "buses", "errors")),
    FactType("vehicle.snapshot_merged", "vehicle", "All that is known of a vehicle, merged over time.", ("vehicle_id", "client_id", "plate", "inner_id", "connected", "header", "header_live", "ages", "age_s", "key_matches", "modules", "modules_complete", "buses", "parameters", "missing", "complete", "usable", "job")),
    FactType("installation.created", "installation", "Somebody asked for an installation; its key is its first job.", (*_INSTALLATION, "client", "serial", "technician")),
    FactType("installation.approved", "installation", "Somebody approved its CAN check, or overrode it with a reason.", (*_INSTALLATION, "override", "reason", "check")),
    FactType("installation.refused", "installation", "Somebody refused its CAN check.", (*_INSTALLATION, "reason")),
    FactType("installation.refreshed", "installation", "Somebody asked for another CAN check.", (*_INSTALLATION, "round")),
    FactType("installation.can_started", "installation", "The technician chose a check, in a maintenance without swap.", _INSTALLATION),
    FactType("installation.completed", "installation", "The technician ended a maintenance without a check.", (*_INSTALLATION, "scheme")),
    FactType("installation.retried", "installation", "What had failed of it runs again on request.", (*_INSTALLATION, "reason")),
    FactType("installation.cancelled", "installation", "What was under way of it was called off.", (*_INSTALLATION, "jobs", "reason")),
    FactType("installation.photo_added", "installation", "Somebody added a photo.", (*_INSTALLATION, "name", "sha256", "size_bytes")),
    FactType("installation.export_asked", "installation", "Somebody asked to export its record again.", (*_INSTALLATION, "destination")),
    FactType("installation.scheme_verified", "installation", "The portal was asked whether the vehicle has the scheme that was meant.", (*_INSTALLATION, "vehicle_id", "verdict", "assigned", "meant", "resent", "why")),
    FactType("catalog.changed", "catalog", "Entries of a catalog changed; a single one is told with before and after.", ("count", "batch", "source", "by")),
    FactType("message.received", "conversation", "Somebody wrote to a channel; once per message, also when it is not readable yet.", _MESSAGE),
    FactType("message.sent", "conversation", "A channel wrote, by us or on its phone.", _MESSAGE),
    FactType("message.revised", "conversation", "A message became readable, was edited or was deleted by its author.", ("message", "key", "kind", "channel", "conversation", "contact", "from_me", "recovered")),
    FactType("message.noticed", "conversation", "The chat says something itself: a group changed, a call was missed.", _MESSAGE),
    FactType("message.acked", "conversation", "How far a message came; negative levels are kinds of failure.", ("message", "key", "ack", "from_me", "channel", "conversation", "contact", "by")),
    FactType("message.reacted", "conversation", "Somebody reacted to a message; an empty text takes it back.", ("message", "key", "channel", "conversation", "contact", "text", "by")),
    FactType("message.send_changed", "conversation", "How far a message came that somebody asked to send: queued, sent, failed, uncertain, or dropped by a person.", ("request", "state", "kind", "text", "channel", "conversation", "chat", "key", "job", "said", "by")),
    FactType("message.file_fetched", "conversation", "The attachment of a message is kept here; `file` is its SHA-256, `mimetype` what its content is.", ("message", "key", "channel", "conversation", "file", "mimetype", "size_bytes", "tries")),
    FactType("message.file_failed", "conversation", "The attachment of a message could not be fetched within a day.", ("message", "key", "channel", "conversation", "said", "tries")),
    FactType("contact.named", "contact", "What the upstream calls a group.", ("channel", "chat", "contact", "group", "name")),
    FactType("contact.alias_learned", "contact", "Two identities turned out to be one contact, or stronger evidence says so again.", _ALIAS),
    FactType("contact.alias_disputed", "contact", "Weaker evidence ties an identity to another number than the one that stands.", (*_ALIAS, "stands")),
    FactType("contact.merged", "contact", "A person said that two contacts are one; the key is the one that stays.", ("gone", "merge", "aliases", "by")),
    FactType("contact.parted", "contact", "A person took identities out of a contact, or undid a merge.", ("apart", "aliases", "merge", "by")),
    FactType("conversation.assigned", "conversation", "A person gave a conversation to somebody, or to nobody.", (*_CONVERSATION, "person", "name", "before")),
    FactType("conversation.labelled", "conversation", "A person changed the labels.", (*_CONVERSATION, "labels", "before")),
    FactType("conversation.status_changed", "conversation", "A person opened, parked, closed or ignored it; `reopens` says what a new message does.", (*_CONVERSATION, "status", "before", "reopens")),
    FactType("conversation.noted", "conversation", "A person left a note that only the team sees.", (*_CONVERSATION, "note", "text", "chat")),
    FactType("conversation.note_removed", "conversation", "A person took a note away.", (*_CONVERSATION, "note")),
    FactType("conversation.linked", "conversation", "A person said which company or person the contact is.", (*_CONVERSATION, "company", "person", "before")),
    FactType("conversation.read", "conversation", "A person has read up to here in the log; the chats of one contact are read together.", (*_CONVERSATION, "person", "upto", "chats")),
    FactType("canned_reply.changed", "canned reply", "A person wrote a reply to keep at hand.", ("shortcut", "by")),
    FactType("canned_reply.deleted", "canned reply", "A person took one away.", ("shortcut", "by")),
    FactType("ticket.stub_asked", "message", "A person asks for a ticket about a message.", ("channel", "conversation", "contact", "title", "text", "by")),
    FactType("alert.raised", "cause", "Trouble that people must see.", ("cause", "title", "detail", "severity", "grouping")),
    FactType("alert.resolved", "cause", "The cause of an alert is gone.", ("cause",)),
    FactType("alert.acknowledged", "alert", "Somebody has taken an alert.", ("title", "note", "by")),
    FactType("alert.unacknowledged", "alert", "Somebody gave an alert back.", ("title", "by")),
    FactType("alert.silenced", "alert", "Nobody is told of it until a time.", ("title", "silence", "reason", "until", "by")),
    FactType("alert.unsilenced", "alert", "A silence was ended before its time.", ("silence", "reason", "by")),
    FactType("alert.notified", "alert", "A channel took a notice; its key is the channel where it is about no single alert.", ("notice", "channel", "kind", "title", "attempts")),
    FactType("alert.notice_failed", "alert", "A notice was given up: it was tried as long as its channel says, or nobody else could tell it.", ("notice", "channel", "kind", "title", "attempts", "error")),
    FactType("alert.notice_passed", "alert", "A channel left a notice to another one: it would have gone by the session that the alert is about, or its message was not delivered.", ("notice", "channel", "to", "kind", "title", "attempts", "error")),
    FactType("alert.notice_returned", "alert", "WhatsApp reported the message of a notice as failed: it counts as not told and is told anew.", ("notice", "channel", "kind", "title", "attempts", "error")),
    FactType("alert.channel_created", "channel", "Somebody set up a channel for alerts.", ("name", "kind", "by")),
    FactType("alert.channel_changed", "channel", "A channel for alerts was changed.", ("name", "fields", "by")),
    FactType("alert.channel_deleted", "channel", "A channel for alerts was removed.", ("name", "by")),
    FactType("person.created", "person", "Somebody may sign in.", ("email", "role", "by")),
    FactType("person.changed", "person", "Name, role or access changed.", ("email", "fields", "by")),
    FactType("person.invited", "person", "A one-time link was made.", ("email", "by")),
    FactType("person.signed_in", "person", "Somebody signed in.", ("email", "agent")),
    FactType("person.signed_out", "person", "Somebody signed out.", ("email",)),
    FactType("person.sign_in_failed", "person", "A sign-in was refused.", ("email", "reason")),
    FactType("token.created", "token", "A machine may use the API.", ("name", "scopes", "by")),
    FactType("token.revoked", "token", "A machine may not use the API any more.", ("name", "by")),
    FactType("settings.changed", "setting", "A setting of the hub changed.", ("fields", "by")),
    FactType("retention.swept", "retention", "What was older than the rules say was deleted.", ("rows", "upto", "took_ms", "files")),
    FactType("reaction.retried", "reaction", "A parked event was tried again on request.", ("seq", "by")),
)  # fmt: skip
