"""The server's reading routes: what the page has in its own database, in the odd forms of each route.

Source: the contract's sections 2.6 and 2.7, and the transcripts 07 and 08.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from simulators.wppconnect import objects
from simulators.wppconnect.models import GROUP, PHONE, Json, Message, Person, digits_of
from simulators.wppconnect.page import Page
from simulators.wppconnect.pictures import ROUTE_PX, file_base64, qr_png

if TYPE_CHECKING:
    from simulators.wppconnect.api import PageCall
    from simulators.wppconnect.host import Host

Route = tuple[str, str, Callable[["PageCall"], Awaitable[web.StreamResponse]]]


class Reads:
    """Everything that only looks, but for `unread-messages`, which clears what it shows."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def routes(self) -> list[Route]:
        return [
            ("POST", "list-chats", self.list_chats),
            ("GET", "all-chats", self.all_chats),
            ("GET", "all-chats-with-messages", self.all_chats_with_messages),
            ("GET", "get-messages/{wid}", self.get_messages),
            ("GET", "all-messages-in-chat/{digits}", self.load_messages),
            ("GET", "load-messages-in-chat/{digits}", self.load_messages),
            ("GET", "all-unread-messages", self.all_unread),
            ("GET", "unread-messages", self.unread),
            ("GET", "all-new-messages", self.all_unread),
            ("GET", "message-by-id/{id}", self.message_by_id),
            ("POST", "download-media", self.download_media),
            ("GET", "get-media-by-message/{id}", self.download_media),
            ("GET", "chat-by-id/{digits}", self.chat_by_id),
            ("GET", "contact/pn-lid/{wid}", self.pn_lid),
            ("GET", "contact/{digits}", self.contact),
            ("GET", "all-contacts", self.all_contacts),
            ("GET", "profile-pic/{digits}", self.profile_pic),
            ("GET", "check-number-status/{digits}", self.check_number),
            ("GET", "host-device", self.host_device),
            ("GET", "get-phone-number", self.phone_number),
            ("GET", "reactions/{id}", self.reactions),
            ("GET", "votes/{id}", self.votes),
            ("GET", "all-groups", self.all_groups),
            ("GET", "group-members/{digits}", self.group_members),
            ("GET", "take-screenshot", self.screenshot),
        ]

    # ---- messages ------------------------------------------------------------------------

    def _message(self, page: Page, message: Message) -> Json:
        sealed = page.is_sealed(message.key, self.host.clock.monotonic())
        return objects.message_json(page.phone, message, sealed=sealed, new=False)

    def _find(self, page: Page, identity: str) -> Message | None:
        message = page.phone.messages.get(objects.key_of(identity))
        return message if message is not None and page.knows(message.key) else None

    async def get_messages(self, call: PageCall) -> web.Response:
        """Page through a chat: the last `count` of it, or those before or after `id`, oldest first."""
        query, page = call.request.query, call.page
        handle = page.phone.find(call.request.match_info["wid"])
        rows = page.chat(handle) if handle else []
        count = int(query.get("count") or 20)
        if identity := query.get("id", ""):
            key = objects.key_of(identity)
            place = next((number for number, one in enumerate(rows) if one.key == key), None)
            if place is None:
                return call.reply({"status": "error", "response": "Error on open list", "error": {}}, 401)
            rows = rows[place + 1 :] if query.get("direction") == "after" else rows[:place]
        if not handle and not call.request.match_info["wid"].endswith((PHONE, "@lid", GROUP)):
            return call.reply({"status": "error", "response": "Error on open list", "error": {}}, 401)
        if count >= 0:
            after = query.get("direction") == "after" and identity
            rows = rows[:count] if after else rows[max(0, len(rows) - count) :]
        return call.reply({"status": "success", "response": [self._message(page, one) for one in rows]})

    async def load_messages(self, call: PageCall) -> web.Response:
        """Answer a chat by its digits; the route adds the suffix of a phone number, or of a group."""
        is_group = call.request.query.get("isGroup") == "true"
        wid = digits_of(call.request.match_info["digits"]) + (GROUP if is_group else PHONE)
        rows = [self._message(call.page, one) for one in call.page.chat(call.page.phone.find(wid))]
        return call.reply({"status": "success", "response": rows})

    def _unread(self, page: Page) -> list[tuple[str, list[Message]]]:
        rows: list[tuple[str, list[Message]]] = []
        for handle, _ in page.chats():
            if count := page.phone.unread.get(handle, 0):
                rows.append((handle, [one for one in page.chat(handle) if not one.from_me][-count:]))
        return rows

    async def all_unread(self, call: PageCall) -> web.Response:
        rows = [self._message(call.page, one) for _, some in self._unread(call.page) for one in some]
        return call.reply({"status": "success", "response": rows})

    async def unread(self, call: PageCall) -> web.Response:
        """Answer unread chats with their messages, and forget that they were unread."""
        rows = [
            {
                **objects.chat_json(call.page.phone, handle, messages[-1].t),
                "messages": [self._message(call.page, one) for one in messages],
            }
            for handle, messages in self._unread(call.page)
        ]
        for handle, _ in self._unread(call.page):
            call.page.phone.read(handle)
        return call.reply({"status": "success", "response": rows})

    async def message_by_id(self, call: PageCall) -> web.Response:
        message, name = self._find(call.page, call.request.match_info["id"]), call.session.name
        if message is None:
            about = {"message": "Error retrieving information", "session": name, "log": {"level": "error"}}
            return call.reply({"status": "Error", "response": about}, 400)
        found = {"message": "Information retrieved successfully.", "session": name}
        told = {"status": "Success", "response": {**found, "data": self._message(call.page, message)}}
        return call.reply(told, 201)

    async def download_media(self, call: PageCall) -> web.Response:
        identity = str(call.body.get("messageId") or call.request.match_info.get("id", ""))
        message = self._find(call.page, identity)
        if message is None:
            return call.reply({"status": "error", "message": "Message not found"}, 400)
        if call.page.is_sealed(message.key, self.host.clock.monotonic()):
            return call.reply({"status": "error", "message": "Decrypt file error"}, 400)
        if message.media is None:
            return call.reply({"status": "error", "message": "Message does not contain media"}, 400)
        return call.reply({"base64": file_base64(message.media), "mimetype": message.media.mimetype})

    async def reactions(self, call: PageCall) -> web.Response:
        """Answer who reacted how; the only way to reactions that came while nobody listened."""
        message = self._find(call.page, call.request.match_info["id"])
        if message is None:
            return call.reply({"status": "error", "message": "Error on get reactions."}, 500)
        phone, by_text = call.page.phone, dict[str, list[str]]()
        for who, text in message.reactions.items():
            if text:
                by_text.setdefault(text, []).append(phone.account.wid if who == "me" else phone.wid(who))
        groups = [
            {"id": text, "aggregateEmoji": text, "hasReactionByMe": phone.account.wid in wids,
             "senders": [{"senderUserJid": wid, "reactionText": text} for wid in wids]}
            for text, wids in by_text.items()
        ]  # fmt: skip
        mine = next((one for one in groups if one["hasReactionByMe"]), None)
        return call.reply({"status": "success", "response": {"reactionByMe": mine, "reactions": groups}})

    async def votes(self, call: PageCall) -> web.Response:
        return call.reply({"status": "success", "response": {"votes": []}})

    # ---- chats ---------------------------------------------------------------------------

    def _chats(self, page: Page) -> list[Json]:
        return [objects.chat_json(page.phone, handle, last.t) for handle, last in page.chats()]

    async def list_chats(self, call: PageCall) -> web.Response:
        """Answer a bare array of chats, the newest first; `id` with `direction` pages, `count` limits."""
        body, rows = call.body, self._chats(call.page)
        if body.get("onlyGroups"):
            rows = [one for one in rows if one["isGroup"]]
        if body.get("onlyUsers"):
            rows = [one for one in rows if not one["isGroup"]]
        if body.get("onlyWithUnreadMessage"):
            rows = [one for one in rows if one["unreadCount"]]
        if identity := str(body.get("id") or ""):
            place = next((n for n, one in enumerate(rows) if one["id"]["_serialized"] == identity), len(rows))
            rows = rows[:place] if body.get("direction") == "before" else rows[place + 1 :]
        count = body.get("count")
        if isinstance(count, int) and count >= 0:
            rows = rows[:count]
        return call.reply(rows)

    async def all_chats(self, call: PageCall) -> web.Response:
        return call.reply({"status": "success", "response": self._chats(call.page), "mapper": "chat"})

    async def all_chats_with_messages(self, call: PageCall) -> web.Response:
        """Answer chats; there are no messages in them, whatever the route is called."""
        return call.reply({"status": "success", "response": self._chats(call.page)})

    async def chat_by_id(self, call: PageCall) -> web.Response:
        is_group = call.request.query.get("isGroup") == "true"
        wid = digits_of(call.request.match_info["digits"]) + (GROUP if is_group else PHONE)
        handle = call.page.phone.find(wid)
        rows = call.page.chat(handle) if handle else []
        if not rows:
            return call.reply({"status": "error", "message": "Error on open chat"}, 500)
        return call.reply(objects.chat_json(call.page.phone, handle, rows[-1].t))

    # ---- people --------------------------------------------------------------------------

    def _person(self, page: Page, wid: str) -> Person | None:
        return page.phone.people.get(page.phone.find(wid))

    async def pn_lid(self, call: PageCall) -> web.Response:
        """Answer number and lid of a contact; what the page does not know is left out."""
        wid = call.request.match_info["wid"]
        if not wid.endswith((PHONE, "@lid")):
            return call.reply({"status": "error", "message": "Error on get contact by PN-LID"}, 500)
        person = self._person(call.page, wid)
        if person is not None and person.paired:
            return call.reply(objects.pair_json(person))
        if wid.endswith(PHONE):
            await call.page.ask_network()
            lid = person.lid if person is not None else ""  # the network knows it, unlike the page's table
            told = objects.pair_json(Person(number=digits_of(wid), lid=lid))
        else:
            told = objects.pair_json(Person(lid=digits_of(wid)))
        del told["contact"]
        return call.reply(told)

    async def contact(self, call: PageCall) -> web.Response:
        person = self._person(call.page, digits_of(call.request.match_info["digits"]) + PHONE)
        shown = objects.sender_json(person) if person is not None else None
        return call.reply({"status": "success", "response": shown, "mapper": "contact"})

    async def all_contacts(self, call: PageCall) -> web.Response:
        rows = [objects.sender_json(one) for one in call.page.phone.people.values()]
        return call.reply({"status": "success", "response": rows, "mapper": "contact"})

    async def profile_pic(self, call: PageCall) -> web.Response:
        digits = digits_of(call.request.match_info["digits"])
        picture = f"https://media.example.test/v/profile/{digits}.jpg"
        return call.reply({"status": "success", "response": {"eurl": picture, "imgFull": picture}})

    async def check_number(self, call: PageCall) -> web.Response:
        """Ask WhatsApp about a number; a page whose socket is dead waits for the answer."""
        digits = digits_of(call.request.match_info["digits"])
        await call.page.ask_network()
        exists = self.host.number_exists(digits)
        user = {"server": "c.us", "user": digits, "_serialized": digits + PHONE}
        about = {"id": user, "isBusiness": False, "canReceiveMessage": exists, "numberExists": exists}
        return call.reply({"status": "success", "response": about, "mapper": "return"})

    async def host_device(self, call: PageCall) -> web.Response:
        account = call.page.phone.account
        about = {"id": account.wid, "pushname": account.pushname, "platform": "android", "connected": True}
        told = {**about, "phoneNumber": account.wid}
        return call.reply({"status": "success", "response": told, "mapper": "device"})

    async def phone_number(self, call: PageCall) -> web.Response:
        wid = call.page.phone.account.wid
        return call.reply({"status": "success", "response": wid, "mapper": "device"})

    async def all_groups(self, call: PageCall) -> web.Response:
        phone = call.page.phone
        rows = [{"id": objects.wid_json(one.wid), "name": one.name} for one in phone.groups.values()]
        return call.reply({"status": "success", "response": rows, "mapper": "group"})

    async def group_members(self, call: PageCall) -> web.Response:
        phone = call.page.phone
        group = phone.groups.get(digits_of(call.request.match_info["digits"]) + GROUP)
        members = group.members if group is not None else []
        rows = [objects.sender_json(phone.people[one]) for one in members if one in phone.people]
        return call.reply({"status": "success", "response": rows})

    async def screenshot(self, call: PageCall) -> web.Response:
        """Answer a picture of the page, here of what it is about, as base64."""
        text = f"{call.session.name} {call.page.phone.account.number}"
        return call.reply(base64.b64encode(qr_png(text, ROUTE_PX)).decode())
