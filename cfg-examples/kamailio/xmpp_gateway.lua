-- The routing of xmpp_gateway.cfg as a KEMI script: kamailio -A WITH_LUA -f xmpp_gateway.cfg
-- What each step is for is said there. Edit the four values below as in the head of that file.

local SIP_DOMAIN = "sip.example.com"
local XMPP_DOMAIN = "example.net"
local SIP_IP = "127.0.0.1"
local SIP_PORT = 5060

local FROM_GATEWAY = 1

local function reply(code, reason)
    KSR.sl.sl_send_reply(code, reason)
    KSR.x.exit()
end

local function reply_in_transaction(code, reason)
    KSR.tm.t_reply(code, reason)
    KSR.x.exit()
end

-- SQL text of a value: quotes are doubled.
local function quoted(value)
    return (string.gsub(value or "", "'", "''"))
end

local EVERYBODY = '<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">'
    .. '<rule id="all"><conditions><identity><many/></identity></conditions>'
    .. "<actions><pr:sub-handling>allow</pr:sub-handling></actions></rule></ruleset>"

-- SIP users without pres-rules of their own are seen by everybody.
local function default_rules()
    local user = quoted(KSR.pv.get("$rU"))
    KSR.sqlops.sql_query("db", "INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port) "
        .. "SELECT '" .. user .. "', '" .. SIP_DOMAIN .. "', '" .. EVERYBODY .. "', "
        .. "2, 'default', 0, 'default:" .. user .. "', 5060 WHERE NOT EXISTS (SELECT 1 FROM xcap WHERE username = '" .. user
        .. "' AND domain = '" .. SIP_DOMAIN .. "' AND doc_type = 2)", "")
end

-- SUBSCRIBE, PUBLISH and NOTIFY that end here; returns for those of others.
local function presence(method)
    local from_gateway = KSR.isflagset(FROM_GATEWAY)
    local to_xmpp = KSR.pv.get("$rd") == XMPP_DOMAIN

    if method == "NOTIFY" then
        if KSR.pv.get("$rU") ~= "xmpp-gateway" then return end
        if KSR.xmpp_gateway.pua_xmpp_notify() > 0 then reply(200, "OK") end
        reply(KSR.pv.get("$avp(xmpp_code)"), KSR.pv.get("$avp(xmpp_reason)"))
    end

    local in_dialog = KSR.siputils.has_totag() > 0
    if in_dialog and not KSR.is_myself_ruri() then return end
    if KSR.tm.t_newtran() < 0 then
        KSR.sl.sl_reply_error()
        KSR.x.exit()
    end

    -- Without the presence server in between, the gateway is the notifier of XMPP users itself:
    -- if method == "SUBSCRIBE" and not from_gateway and (to_xmpp or KSR.pv.get("$rU") == "xmpp-gateway") then
    --     if KSR.xmpp_gateway.xmpp_handle_subscribe() > 0 then KSR.x.exit() end
    --     reply_in_transaction(KSR.pv.get("$avp(xmpp_code)"), KSR.pv.get("$avp(xmpp_reason)"))
    -- end

    if method == "PUBLISH" then
        if to_xmpp and not from_gateway then reply_in_transaction(403, "Forbidden") end
        KSR.presence.handle_publish()
        KSR.x.exit()
    end

    if in_dialog then
        KSR.presence.handle_subscribe()
        KSR.x.exit()
    end
    local winfo = string.find(KSR.hdr.get("Event") or "", "^presence%.winfo")
    if winfo and not from_gateway and (to_xmpp or KSR.pv.get("$fu") ~= KSR.pv.get("$ru")) then
        reply_in_transaction(403, "Forbidden")
    end
    if KSR.pv.get("$rd") == SIP_DOMAIN then default_rules() end
    KSR.presence.handle_subscribe()
    if to_xmpp and not from_gateway and KSR.hdr.get("Expires") ~= "0" then
        KSR.xmpp_gateway.pua_xmpp_req_winfo(KSR.pv.get("$ru"), "3600")
    end
    KSR.x.exit()
end

-- A request to an XMPP user. Messages only, so far.
local function to_xmpp(method)
    if KSR.isflagset(FROM_GATEWAY) then reply(482, "Loop Detected") end
    if method ~= "MESSAGE" then
        KSR.hdr.append_to_reply("Allow: MESSAGE, SUBSCRIBE\r\n")
        reply(405, "Method Not Allowed")
    end
    if KSR.tm.t_newtran() < 0 then
        KSR.sl.sl_reply_error()
        KSR.x.exit()
    end
    if KSR.xmpp_gateway.xmpp_send_message() > 0 then reply_in_transaction(202, "Accepted") end
    -- What is wrong, in the terms of SIP; a header that the status asks for (Accept, Retry-After) is in the reply already.
    reply_in_transaction(KSR.pv.get("$avp(xmpp_code)"), KSR.pv.get("$avp(xmpp_reason)"))
end

function ksr_request_route()
    if KSR.maxfwd.process_maxfwd(10) < 0 then reply(483, "Too Many Hops") end
    if KSR.sanity.sanity_check(1511, 7) < 0 then KSR.x.exit() end
    KSR.force_rport()

    local method = KSR.pv.get("$rm")
    if method == "CANCEL" then
        if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
        KSR.x.exit()
    end

    if KSR.pv.get("$si") == SIP_IP and KSR.pv.get("$sp") == SIP_PORT then KSR.setflag(FROM_GATEWAY) end

    if method == "SUBSCRIBE" or method == "PUBLISH" or method == "NOTIFY" then presence(method) end

    if KSR.siputils.has_totag() > 0 then
        if KSR.rr.loose_route() > 0 then
            KSR.tm.t_relay()
        elseif method == "ACK" then
            if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
        else
            reply(404, "Not Here")
        end
        KSR.x.exit()
    end
    if method == "ACK" then KSR.x.exit() end
    KSR.tm.t_check_trans()
    KSR.hdr.remove("Route")

    -- Authenticate your users here, and hold them to their own From, before anything is sent on in their name.

    if method == "REGISTER" then
        if KSR.registrar.save("location", 0) < 0 then KSR.sl.sl_reply_error() end
        KSR.x.exit()
    end

    if KSR.pv.get("$rd") == XMPP_DOMAIN then to_xmpp(method) end

    if not KSR.is_myself_ruri() then reply(403, "Relaying Denied") end
    -- With dialog_mode: this call is shown.
    -- if method == "INVITE" then KSR.dialog.dlg_manage() end
    if method == "INVITE" then KSR.rr.record_route() end
    if KSR.registrar.lookup("location") < 0 then reply(480, "Temporarily Unavailable") end
    KSR.tm.t_relay()
    KSR.x.exit()
end
