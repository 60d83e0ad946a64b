/* The least that CPython itself asks for each operation: what duewheel does beyond is its own.

   An extension for the benchmarks alone. Its functions are timed by the harness that times the libraries. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <sys/mman.h>

#if PY_VERSION_HEX < 0x030c0000
#define CALL_ONE(function, argument) PyObject_CallOneArg(function, argument)
#else
#define CALL_ONE(function, argument)                                                                                   \
    PyObject_Vectorcall(function, (PyObject *[]){argument}, 1, NULL)
#endif

static const char ID[] = "0190163d-8694-739b-aea5-966c26f8ad91";
enum { ID_LENGTH = sizeof ID - 1, LINE = 64 };

typedef struct {
    PyObject_HEAD
    double payload[10]; /* as many bytes as an event has */
} Fresh;

static PyTypeObject FreshType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "floor.Fresh",
    .tp_basicsize = sizeof(Fresh),
    .tp_flags = Py_TPFLAGS_DEFAULT,
};

static int arguments(PyObject *const *given, Py_ssize_t count, double *delay) {
    if (count != 2 || !PyUnicode_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "a float and a str");
        return -1;
    }
    *delay = PyFloat_AsDouble(given[0]);
    return *delay == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *text(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    double delay;
    if (arguments(given, count, &delay) < 0) return NULL;
    PyObject *made = PyUnicode_New(ID_LENGTH, 127);
    if (made) memcpy(PyUnicode_1BYTE_DATA(made), ID, ID_LENGTH);
    return made;
}

static PyObject *number(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    double delay;
    if (arguments(given, count, &delay) < 0) return NULL;
    return PyLong_FromLong((long)(1000.0 + delay));
}

/* One call in a context, with a fresh object; what it returns is a new reference. */
static PyObject *called(PyObject *handler, PyObject *copy) {
    PyObject *fresh = PyObject_New(PyObject, &FreshType);
    if (!fresh) return NULL;
    PyObject *returned = NULL;
    if (PyContext_Enter(copy) == 0) {
        returned = CALL_ONE(handler, fresh);
        PyObject *over = returned;
        if (returned && PyCoro_CheckExact(returned)) {
            if (PyIter_Send(returned, Py_None, &over) != PYGEN_RETURN) {
                if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the coroutine waits");
                over = NULL;
            }
            Py_DECREF(returned);
        }
        if (PyContext_Exit(copy) < 0) Py_CLEAR(over);
        returned = over;
    }
    Py_DECREF(fresh);
    return returned;
}

static PyObject *run(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "a handler and a count");
    Py_ssize_t n = PyLong_AsSsize_t(given[1]);
    if (n == -1 && PyErr_Occurred()) return NULL;
    PyObject *context = PyContext_CopyCurrent();
    if (!context) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *copy = PyContext_Copy(context);
        PyObject *returned = copy ? called(given[0], copy) : NULL;
        Py_XDECREF(copy);
        if (!returned) {
            Py_DECREF(context);
            return NULL;
        }
        Py_DECREF(returned);
    }
    Py_DECREF(context);
    Py_RETURN_NONE;
}

static PyObject *touch(PyObject *module, PyObject *size) {
    Py_ssize_t bytes = PyLong_AsSsize_t(size);
    if (bytes == -1 && PyErr_Occurred()) return NULL;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
    for (volatile char *line = memory; line < memory + bytes; line += LINE) *line = 1;
    munmap(memory, bytes);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"text", (PyCFunction)(void (*)(void))text, METH_FASTCALL, "(a) A float and a str: a new str of 36 characters."},
    {"number", (PyCFunction)(void (*)(void))number, METH_FASTCALL, "(b) A float and a str: a new int."},
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL,
     "(c), (d) Call a handler so many times, each in a copied context with a fresh object; drive a coroutine to its end."},
    {"touch", touch, METH_O, "(e) Write to each line of so many bytes of new memory."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "floor", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_floor(void) {
    if (PyType_Ready(&FreshType) < 0) return NULL;
    PyObject *made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made) PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
    return made;
}
