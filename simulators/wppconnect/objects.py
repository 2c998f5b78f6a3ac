"""The page's objects as they travel: messages, chats, contacts, presence, acks. Every foreign key is here.

Source: the contract's sections 3.2 and 3.3; keys and their order are those of `hub-envelope/message-*.json`.
"""

from __future__ import annotations

import base64
from typing import Any

from simulators.wppconnect.models import GROUP, LID, PHONE, Account, Json, Message, Person, digits_of, pretty
from simulators.wppconnect.phone import Phone
from simulators.wppconnect.pictures import file_base64, file_bytes, png

SECRET = [(3 + 7 * place) % 256 for place in range(32)]  # dummy bytes of the right length
THUMBNAIL = base64.b64encode(png([bytes([128] * 8)] * 8)).decode()

_BEFORE_FLAGS: tuple[tuple[str, Any], ...] = (
    ("invis", False),
    ("isNewMsg", True),
    ("star", False),
    ("kicNotified", False),
    ("recvFresh", True),
    ("isFromTemplate", False),
)
_DIRECT_ONLY: tuple[tuple[str, Any], ...] = (("thumbnail", ""), ("faviconMMSMetadata", None))
_FLAGS: tuple[tuple[str, Any], ...] = (
    ("isAdsMedia", False),
    ("pollInvalidated", False),
    ("isSentCagPollCreation", False),
    ("latestEditMsgKey", None),
    ("latestEditSenderTimestampMs", None),
    ("mentionedJidList", ()),
    ("groupMentions", ()),
    ("isEventCanceled", False),
    ("eventInvalidated", False),
)
_QUESTIONS: tuple[tuple[str, Any], ...] = (
    ("questionReplyQuotedMessage", None),
    ("questionResponsesCount", 0),
    ("readQuestionResponsesCount", 0),
    ("labels", ()),
    ("hasReaction", False),
)
_EPHEMERAL: tuple[tuple[str, Any], ...] = (
    ("ephemeralSettingTimestamp", 1766539906),
    ("disappearingModeInitiator", "chat"),
    ("disappearingModeTrigger", "chat_settings"),
    ("disappearingModeInitiatedByMe", True),
)
_BOTS: tuple[tuple[str, Any], ...] = (
    ("productHeaderImageRejected", False),
    ("lastPlaybackProgress", 0),
    ("isDynamicReplyButtonsMsg", False),
    ("isCarouselCard", False),
    ("parentMsgId", None),
    ("callSilenceReason", None),
    ("isVideoCall", False),
    ("callDuration", None),
    ("callCreator", None),
    ("callParticipants", None),
    ("isCallLink", None),
    ("callLinkToken", None),
    ("isMdHistoryMsg", False),
    ("stickerSentTs", 0),
    ("isAvatar", False),
    ("lastUpdateFromServerTs", 0),
    ("invokedBotWid", None),
    ("bizBotType", None),
    ("botResponseTargetId", None),
    ("botPluginType", None),
    ("botPluginReferenceIndex", None),
    ("botPluginSearchProvider", None),
    ("botPluginSearchUrl", None),
    ("botPluginSearchQuery", None),
    ("botPluginMaybeParent", False),
    ("botReelPluginThumbnailCdnUrl", None),
    ("botMessageDisclaimerText", None),
    ("botMsgBodyType", None),
    ("reportingTokenInfo", {"reportingToken": SECRET[:16], "version": 2, "reportingTag": SECRET[:20]}),
    ("requiresDirectConnection", None),
    ("bizContentPlaceholderType", None),
    ("hostedBizEncStateMismatch", False),
    ("senderOrRecipientAccountTypeHosted", False),
    ("placeholderCreatedWhenAccountIsHosted", False),
    ("groupHistoryBundleMessageKey", None),
    ("groupHistoryBundleMetadata", None),
)


def serialized(phone: Phone, message: Message) -> str:
    """Answer `<fromMe>_<chat wid>_<key>[_<author wid>]`, as the page calls the chat now."""
    head = f"{'true' if message.from_me else 'false'}_{phone.wid(message.chat)}_{message.key}"
    return f"{head}_{author_wid(phone, message)}" if message.chat.endswith(GROUP) else head


def key_of(identity: str) -> str:
    """Answer the third part of a serialized id, or the text itself."""
    parts = identity.split("_")
    return parts[2] if len(parts) > 2 else identity


def author_wid(phone: Phone, message: Message) -> str:
    return phone.account.lid + LID if message.from_me else phone.wid(message.author)


def own_wid(account: Account, chat: str, message: Message) -> str:
    """Answer the own account as a message's `to`: the number, in chats by lid at times the device's lid."""
    by_device = chat.endswith(LID) and message.order % 3 == 0
    return f"{account.lid}:{account.device}{LID}" if by_device else account.wid


def message_json(phone: Phone, message: Message, *, sealed: bool = False, new: bool = True) -> Json:
    """Answer a message as webhooks and reads carry it. `sealed`: it cannot be decrypted yet.

    `new`: it came live. A revoked message keeps its place, without its text.
    """
    group = message.chat.endswith(GROUP)
    wid = phone.wid(message.chat)
    own = own_wid(phone.account, wid, message)
    kind = "ciphertext" if sealed else "revoked" if message.revoked else message.kind
    body = "" if sealed or message.revoked else message.body or _thumbnail(message)
    told: Json = {"id": serialized(phone, message), "viewed": False, "body": body, "type": kind}
    if sealed:
        told["subtype"] = "fanout"
    told |= {"t": message.t, "clientReceivedTsMillis": message.at_ms + 176}
    told["notifyName"] = _notify(phone, message)
    told |= {"from": own if message.from_me else wid, "to": wid if message.from_me else own}
    if group:
        told["author"] = author_wid(phone, message)
    told["ack"] = message.ack
    told |= _plain(_BEFORE_FLAGS) | ({} if group else _plain(_DIRECT_ONLY)) | _plain(_FLAGS)
    told["isVcardOverMmsDocument"] = False
    if group or message.forwarded:
        told["isForwarded"] = message.forwarded
    if group:
        told["isQuestion"] = False
    told |= _plain(_QUESTIONS) | ({} if group else _plain(_EPHEMERAL))
    told |= {"viewMode": "VISIBLE", "messageSecret": SECRET}
    if not group:
        told["inviteGrpType"] = "DEFAULT"
    told |= _plain(_BOTS)
    told |= _content(phone, message) if not sealed and not message.revoked else {}
    told |= {"chatId": wid, "fromMe": message.from_me, "sender": _sender(phone, message)}
    told |= {"timestamp": message.t, "content": body, "isGroupMsg": group, "mediaData": []}
    told["isNewMsg"] = told["recvFresh"] = new
    told["hasReaction"] = any(message.reactions.values())
    if message.from_me:
        told["isSentByMe"] = True
    if message.edits:
        told["latestEditMsgKey"] = serialized(phone, message)
    return told


def _thumbnail(message: Message) -> str:
    return THUMBNAIL if message.kind in ("image", "video") else ""


def _plain(pairs: tuple[tuple[str, Any], ...]) -> Json:
    return {key: list[Any]() if value == () else value for key, value in pairs}


def _notify(phone: Phone, message: Message) -> str:
    if message.from_me:
        return phone.account.pushname
    person = phone.people.get(message.author or message.chat)
    return person.pushname or person.shown if person is not None else ""


def _content(phone: Phone, message: Message) -> Json:
    """Answer what a message of its kind carries beside the text."""
    told: Json = {}
    if (media := message.media) is not None:
        told["mimetype"] = media.mimetype
        if media.filename:
            told["filename"] = media.filename
        if media.caption:
            told["caption"] = media.caption
        path = f"/v/t62.7118-24/{media.seed:016x}.enc"
        told |= {
            "size": len(file_bytes(media)),
            "filehash": f"{media.seed:043x}=",
            "mediaKey": "A" * 43 + "=",
        }
        told |= {"directPath": path, "deprecatedMms3Url": "https://media.example.test" + path}
    if message.location is not None:
        told["lat"], told["lng"] = message.location
    if message.quoted and (quoted := phone.messages.get(message.quoted)) is not None:
        told["quotedMsgId"] = serialized(phone, quoted)
        told["quotedParticipant"] = (
            phone.account.wid if quoted.from_me else phone.wid(quoted.author or quoted.chat)
        )
    return told


def with_file(told: Json, message: Message) -> Json:
    """Answer the message with its whole file as body, as autoDownload makes it."""
    if message.media is None:
        return told
    return {**told, "body": file_base64(message.media)}


def _sender(phone: Phone, message: Message) -> Json:
    if message.from_me:
        account = phone.account
        me = Person(account.number, account.lid, account.pushname, account.pushname)
        return sender_json(me) | {"isMe": True}
    person = phone.people.get(message.author or message.chat)
    return sender_json(person) if person is not None else {"id": phone.wid(message.chat)}


def sender_json(person: Person) -> Json:
    """Answer a person as the `sender` of a message: with a name only for who is in the address book."""
    wid, told = person.wid, dict[str, Any]()
    told["id"] = wid
    if person.name:
        told |= {"name": person.name, "shortName": person.name.split(" ")[0]}
    told |= {"pushname": person.pushname, "type": "in"}
    if person.business:
        told["verifiedName"] = person.pushname
    told |= {"isBusiness": person.business, "isEnterprise": False, "isSmb": person.business}
    if person.business:
        told |= {"verifiedLevel": 0, "privacyMode": None}
    if not person.name:
        told["parentStatusMute"] = False
    told |= {"labels": [], "isContactSyncCompleted": 0 if person.name else 1, "textStatusLastUpdateTime": -1}
    told["syncToAddressbook"] = bool(person.name)
    told["formattedName"] = person.name or pretty(person.number or person.lid)
    told |= {"isMe": False, "isMyContact": bool(person.name), "isWAContact": True}
    picture = f"https://media.example.test/v/profile/{digits_of(wid)}.jpg"
    known = {"eurl": picture, "id": wid, "img": picture, "imgFull": picture, "tag": "2000000547"}
    return told | {"profilePicThumbObj": known if person.name else [], "msgs": None}


def sent_json(phone: Phone, message: Message) -> Json:
    """Answer a message as the send routes do. Source: transcript 08."""
    wid = phone.wid(message.chat)
    return {
        "id": serialized(phone, message),
        "body": message.body,
        "type": message.kind,
        "t": message.t,
        "from": phone.account.wid,
        "to": wid,
        "ack": message.ack,
        "fromMe": True,
        "chatId": wid,
        "isNewMsg": True,
        "content": message.body,
        "timestamp": message.t,
        "isSentByMe": True,
    }


def ack_json(phone: Phone, message: Message) -> Json:
    """Answer the data of `onack`: the message, its id as an object. Source: transcript 06."""
    told = message_json(phone, message, new=False)
    parts: Json = {"fromMe": message.from_me, "remote": phone.wid(message.chat), "id": message.key}
    return {**told, "id": {**parts, "_serialized": serialized(phone, message)}}


def presence_json(phone: Phone, person: Person, state: str, now_ms: int) -> Json:
    """Answer the data of `onpresencechanged`: about a person, not about the session."""
    return {
        "id": person.wid,
        "isOnline": state in ("available", "composing", "recording"),
        "isGroup": False,
        "isUser": True,
        "shortName": person.name.split(" ")[0] if person.name else pretty(person.number or person.lid),
        "state": state,
        "t": now_ms,
        "isContact": bool(person.name),
    }


def reaction_json(phone: Phone, message: Message, text: str, now_ms: int) -> Json:
    """Answer the data of `onreactionmessage`; it does not say who reacted."""
    identity = serialized(phone, message)
    return {
        "id": f"{identity}_reaction",
        "msgId": identity,
        "reactionText": text,
        "read": False,
        "orphan": 0,
        "orphanReason": None,
        "timestamp": now_ms,
    }


def revoke_json(phone: Phone, message: Message) -> Json:
    """Answer the data of `onrevokedmessage`; `refId` is the id of the deleted message."""
    wid = phone.wid(message.chat)
    return {
        "author": author_wid(phone, message) if message.chat.endswith(GROUP) else wid,
        "from": wid,
        "to": phone.account.wid,
        "id": serialized(phone, message) + "R",
        "refId": serialized(phone, message),
    }


def wid_json(wid: str) -> Json:
    user, _, server = wid.partition("@")
    return {"server": server, "user": user, "_serialized": wid}


def chat_json(phone: Phone, handle: str, t: int) -> Json:
    """Answer a chat of `list-chats`; `t` in seconds."""
    wid, group, person = phone.wid(handle), phone.groups.get(handle), phone.people.get(handle)
    return {
        "id": wid_json(wid),
        "unreadCount": phone.unread.get(handle, 0),
        "t": t,
        "name": group.name if group else person.shown if person else wid,
        "contact": {"id": wid_json(wid)} if person is None else sender_json(person),
        "isGroup": group is not None,
        "isReadOnly": False,
        "archive": False,
        "pin": 0,
        "msgs": None,
    }


def pair_json(person: Person) -> Json:
    """Answer `contact/pn-lid`: a key that the page does not know is missing. Source: section 2.7."""
    told: Json = {}
    if person.number:
        told["phoneNumber"] = {"id": person.number, "server": "c.us", "_serialized": person.number + PHONE}
    if person.lid:
        told["lid"] = {"id": person.lid, "server": "lid", "_serialized": person.lid + LID}
    contact: Json = {"id": person.number + PHONE if person.number else person.lid + LID}
    if person.name:
        contact |= {"isAddressBookContact": 1, "name": person.name, "shortName": person.name.split(" ")[0]}
    contact |= {"pushname": person.pushname, "type": "in", "isBusiness": person.business}
    if person.business:
        contact["verifiedName"] = person.pushname
    return told | {"contact": contact}
