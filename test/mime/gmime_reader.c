/* Tells check_readers.py what GMime, a MIME library of other people, reads in a mail: one fact a line, `name HEX`.
 *
 * Usage: gmime_reader FILE. Header fields come first, then every part in the order of the tree: its depth, type,
 * charset, file name, content id, disposition, and decoded content. */
#include <gmime/gmime.h>
#include <stdio.h>
#include <string.h>

static void tell(const char *name, const char *value, size_t size) {
    printf("%s ", name);
    for (size_t i = 0; i < size; i++) printf("%02x", (unsigned char)value[i]);
    putchar('\n');
}

static void tell_text(const char *name, const char *value) {
    if (value) tell(name, value, strlen(value));
}

static void tell_addresses(const char *name, InternetAddressList *list) {
    for (int i = 0; list && i < internet_address_list_length(list); i++) {
        InternetAddress *address = internet_address_list_get_address(list, i);
        char field[64];
        snprintf(field, sizeof field, "%s_name", name);
        tell_text(field, address->name ? address->name : "");
        if (INTERNET_ADDRESS_IS_MAILBOX(address))
            tell_text(name, internet_address_mailbox_get_idn_addr(INTERNET_ADDRESS_MAILBOX(address)));
    }
}

static void tell_content(GMimePart *part) {
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    GMimeStream *stream = g_mime_stream_mem_new();
    if (content) g_mime_data_wrapper_write_to_stream(content, stream);
    GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
    tell("content", (const char *)bytes->data, bytes->len);
    g_object_unref(stream);
}

static void tell_part(GMimeObject *object, int depth) {
    GMimeContentType *type = g_mime_object_get_content_type(object);
    char *mime_type = g_mime_content_type_get_mime_type(type);
    char number[16];
    snprintf(number, sizeof number, "%d", depth);
    tell_text("part", number);
    tell_text("type", mime_type);
    g_free(mime_type);
    tell_text("charset", g_mime_content_type_get_parameter(type, "charset"));
    tell_text("disposition", g_mime_object_get_disposition(object));
    tell_text("filename", g_mime_object_get_content_disposition_parameter(object, "filename"));
    tell_text("content_id", g_mime_object_get_content_id(object));
    if (GMIME_IS_MULTIPART(object)) {
        for (int i = 0; i < g_mime_multipart_get_count(GMIME_MULTIPART(object)); i++)
            tell_part(g_mime_multipart_get_part(GMIME_MULTIPART(object), i), depth + 1);
    } else if (GMIME_IS_MESSAGE_PART(object)) {
        char *inner = g_mime_object_to_string(
            GMIME_OBJECT(g_mime_message_part_get_message(GMIME_MESSAGE_PART(object))), NULL);
        tell_text("inner", inner);
        g_free(inner);
    } else if (GMIME_IS_PART(object)) {
        tell_content(GMIME_PART(object));
    }
}

static void warn(gint64 offset, GMimeParserWarning code, const gchar *item, gpointer unused) {
    (void)item;
    (void)unused;
    char text[64];
    snprintf(text, sizeof text, "warning %d at %lld", (int)code, (long long)offset);
    tell_text("warning", text);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    g_mime_init();
    FILE *file = fopen(argv[1], "rb");
    if (!file) return 2;
    GMimeStream *stream = g_mime_stream_file_new(file);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeParserOptions *options = g_mime_parser_options_new();
#if GMIME_CHECK_VERSION(3, 2, 14)
    g_mime_parser_options_set_warning_callback(options, warn, NULL, NULL);
#else
    g_mime_parser_options_set_warning_callback(options, warn, NULL);
#endif
    GMimeMessage *message = g_mime_parser_construct_message(parser, options);
    if (!message) return 1;
    tell_addresses("from", g_mime_message_get_from(message));
    tell_addresses("sender", g_mime_message_get_sender(message));
    tell_addresses("reply_to", g_mime_message_get_reply_to(message));
    tell_addresses("to", g_mime_message_get_to(message));
    tell_addresses("cc", g_mime_message_get_cc(message));
    tell_text("subject", g_mime_message_get_subject(message));
    tell_text("message_id", g_mime_message_get_message_id(message));
    GDateTime *date = g_mime_message_get_date(message);
    if (date) {
        char text[64];
        snprintf(text, sizeof text, "%lld %lld", (long long)g_date_time_to_unix(date),
                 (long long)(g_date_time_get_utc_offset(date) / 60000000));
        tell_text("date", text);
    }
    GMimeHeaderList *headers = g_mime_object_get_header_list(GMIME_OBJECT(message));
    for (int i = 0; i < g_mime_header_list_get_count(headers); i++) {
        GMimeHeader *header = g_mime_header_list_get_header_at(headers, i);
        if (strncmp(g_mime_header_get_name(header), "X-", 2) != 0) continue;
        tell_text("x_name", g_mime_header_get_name(header));
        tell_text("x_value", g_mime_header_get_value(header));
    }
    tell_part(g_mime_message_get_mime_part(message), 0);
    g_object_unref(message);
    g_mime_parser_options_free(options);
    g_object_unref(parser);
    g_object_unref(stream);
    g_mime_shutdown();
    return 0;
}
